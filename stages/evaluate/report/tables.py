"""The report's tables as plain rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import yaml

from stages.core.images.palette import css_color
from stages.core.metrics.counts import ALL
from stages.core.metrics.matching import UNMATCHED
from stages.evaluate import Config
from stages.evaluate.evaluators.clustering import Agreement
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation, SplitScores
from stages.evaluate.provenance import Provenance
from stages.evaluate.report.published import COLUMNS, Published

LABELS = {
    "mIoU": "mIoU",
    "b_mIoU": "boundary mIoU",
    "F": "F (foreground)",
    "accuracy": "image accuracy",
    "pixel_accuracy": "pixel accuracy",
    "mIoU_optimal": "mIoU, matched one to one",
    "pixel_accuracy_optimal": "pixel accuracy, matched one to one",
    "NMI": "NMI of the clusters",
}

UNLICENSED = "not known: ask where they come from, and say it in pretrain.weights.license (saliency.weights.license)"


class ClassRow(NamedTuple):
    """One class of the pictured split, scores in percent."""

    class_id: int
    name: str
    color: str
    clusters: str
    iou: float
    edge_iou: float
    precision: float
    recall: float
    share: float
    """Of all scored pixels."""


class Confusion(NamedTuple):
    """Where the pixels of the largest classes went, in percent of each class."""

    names: list[str]
    rows: list[list[float]]


def score_rows(
    evaluation: Evaluation, agreement: Agreement | None
) -> tuple[list[str], list[tuple[str, list[float | None]]]]:
    """Splits, and one row per score with its value on each split."""
    columns = {split: scored.summary for split, scored in evaluation.splits.items()}
    if agreement is not None:
        found: dict[str, float | None] = {"NMI": agreement.nmi, "accuracy": agreement.accuracy}
        columns["train"] = found | columns.get("train", {})
    splits: list[str] = [split for split in ("train", "validation", "test") if split in columns]
    return splits, [
        (label, [columns[split].get(key) for split in splits])
        for key, label in LABELS.items()
        if any(key in columns[split] for split in splits)
    ]


def result_row(evaluation: Evaluation, agreement: Agreement | None) -> Published:
    """This result as a line of the published table."""
    found: dict[str, dict[str, float | None]] = {split: each.summary for split, each in evaluation.splits.items()}
    if agreement:
        found["train"] = found.get("train", {}) | {"NMI": agreement.nmi}
    places = (name.split(".") for name in COLUMNS)
    return Published("this result", tuple(found.get(split, {}).get(score) for split, score in places))


def class_rows(inputs: Inputs, evaluation: Evaluation, scored: SplitScores) -> list[ClassRow]:
    """All classes that occur, best first."""
    areas, edges = scored.scores.areas, scored.scores.edges
    shared, pred, true = areas.shared[ALL], areas.pred[ALL], areas.true[ALL]
    rows = [
        ClassRow(
            class_id=class_id,
            name=class_name(inputs, class_id),
            color=css_color(class_id) if class_id else "#8a8a8a",
            clusters=", ".join(str(cluster) for cluster in np.flatnonzero(evaluation.match == class_id)) or "–",
            iou=100 * float(areas.iou[ALL, class_id]),
            edge_iou=100 * float(edges.iou[ALL, class_id]),
            precision=100 * float(shared[class_id] / max(pred[class_id], 1)),
            recall=100 * float(shared[class_id] / max(true[class_id], 1)),
            share=100 * float(true[class_id] / max(true.sum(), 1)),
        )
        for class_id in range(inputs.classes + 1)
        if true[class_id] or pred[class_id]
    ]
    return sorted(rows, key=lambda row: (-row.iou, row.class_id))


def confusion_table(config: Config, inputs: Inputs, evaluation: Evaluation, scored: SplitScores) -> Confusion:
    """Largest classes against what they were taken for; all further predictions stand in the last column."""
    raw, true = scored.counts.confusion(scored.level), scored.scores.areas.true[ALL]
    matrix = np.zeros((inputs.classes + 1, inputs.classes + 2), np.int64)
    np.add.at(matrix.T, np.where(evaluation.match == UNMATCHED, inputs.classes + 1, evaluation.match), raw)
    objects = np.argsort(-true[1:], kind="stable")[: config.confusion_classes] + 1
    chosen = [0, *sorted(int(class_id) for class_id in objects if true[class_id])]
    kept = matrix[np.ix_(chosen, chosen)]
    shares = 100 * np.column_stack([kept, matrix[chosen].sum(1) - kept.sum(1)]) / np.maximum(true[chosen], 1)[:, None]
    return Confusion([class_name(inputs, class_id) for class_id in chosen], shares.tolist())


def class_name(inputs: Inputs, class_id: int) -> str:
    """Name of a class id; predicted ids without a class have none."""
    if class_id == 0:
        return "background"
    return inputs.labels.classes.get(class_id, "no class" if class_id > inputs.classes else f"class {class_id}")


def provenance_rows(config: Config, evaluation: Evaluation, provenance: Provenance) -> list[tuple[str, str]]:
    """What could change a score, in words."""
    chosen = evaluation.threshold.hundredths
    weights = ", ".join(f"{stage}: {origin}" for stage, origin in provenance.weights.items())
    rows = [
        ("recipe", provenance.recipe),
        ("protocol", config.protocol if evaluation.has_scores else "none: there are no masks"),
        ("scored at", f"{config.working_size[0]} x {config.working_size[1]} pixels" if config.working_size else ""),
        ("match found on", evaluation.match_source),
        ("threshold", f"{'none' if chosen is None else f'{chosen / 100:.2f}'} ({evaluation.threshold.source})"),
        ("ignored id", str(config.ignore_id)),
        ("initial weights", weights),
        ("license of the weights", "" if provenance.license is None else provenance.license or UNLICENSED),
        ("labels used before scoring", "; ".join(provenance.label_uses) or "none"),
        ("seeds", ", ".join(f"{stage} {seed}" for stage, seed in provenance.seeds.items())),
    ]
    return [(name, value) for name, value in rows if value]


def params_text(provenance: Provenance) -> str:
    """params.yaml as it was read."""
    return yaml.safe_dump(provenance.params, sort_keys=False, allow_unicode=True)
