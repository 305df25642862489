"""Writes the machine-readable results: metrics.json, matching.json, per_class.csv."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from stages.core.metrics.counts import ALL, Float64
from stages.core.metrics.kernels import Int64
from stages.core.metrics.matching import write_match
from stages.evaluate import Config
from stages.evaluate.caveats import find_caveats, title
from stages.evaluate.evaluators.clustering import Agreement
from stages.evaluate.evaluators.evaluator import EvaluatorResults
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.definitions import PROTOCOLS
from stages.evaluate.protocols.evaluation import Evaluation, SplitScores
from stages.evaluate.provenance import Provenance

_DIGITS = 6


def write_metrics(
    config: Config, inputs: Inputs, evaluation: Evaluation, results: EvaluatorResults, provenance: Provenance
) -> dict[str, Any]:
    """The evaluators' scores by split, and under `protocol` everything that could change them."""
    metrics: dict[str, Any] = {}
    for result in results.values():
        for split, scores in result.scores.items():
            found = {name: round(value, _DIGITS) for name, value in scores.items()}
            metrics[split] = metrics.get(split, {}) | found
    metrics["protocol"] = _describe(config, inputs, evaluation, provenance)
    metrics["protocol"]["caveats"] = find_caveats(config, inputs, evaluation, results, provenance)
    return metrics


def _describe(config: Config, inputs: Inputs, evaluation: Evaluation, provenance: Provenance) -> dict[str, Any]:
    size = {"classes": inputs.classes, "clusters": inputs.clusters}
    origin = {
        "weights": provenance.weights.get("pretrain", "unknown"),
        "seeds": provenance.seeds,
        "strict": provenance.is_strict(evaluation.threshold),
    }
    if not evaluation.has_scores:
        return {"name": "clusters only: no masks", **size, **origin}
    protocol = PROTOCOLS[config.protocol]
    return {
        "name": config.protocol,
        "title": title(config.protocol, evaluation.fitted_on, config.working_size),
        **size,
        "images": {split: scored.counts.images for split, scored in evaluation.splits.items()},
        "pixels": {split: int(scored.counts.true_area[ALL].sum()) for split, scored in evaluation.splits.items()},
        **({"working_size": list(config.working_size)} if config.working_size else {}),
        "ignore_id": config.ignore_id,
        "mean_over": protocol.denominator,
        "match": evaluation.match_source,
        "threshold": None if evaluation.threshold.hundredths is None else evaluation.threshold.hundredths / 100,
        "threshold_source": evaluation.threshold.source,
        **origin,
    }


def write_matching(inputs: Inputs, evaluation: Evaluation, agreement: Agreement | None) -> dict[str, Any]:
    """The match as pairs and by name, and the clusters' categories on train."""
    matching: dict[str, Any] = {}
    if evaluation.has_scores:
        pairs = write_match(evaluation.match)
        names = {
            pred: inputs.labels.classes.get(true, "background" if true == 0 else str(true))
            for pred, true in pairs.items()
        }
        matching |= {"source": evaluation.match_source, "match": pairs, "names": names}
    if agreement is not None:
        matching["train_categories"] = {
            str(cluster + 1): int(category) for cluster, category in enumerate(agreement.match)
        }
    return matching


def write_per_class(inputs: Inputs, evaluation: Evaluation) -> str:
    """One row per class: its predicted ids and, for every scored split, scores in percent and pixels."""
    text = io.StringIO(newline="")
    splits = evaluation.splits
    names = ("iou", "b_iou", "precision", "recall", "true_pixels", "predicted_pixels")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["class_id", "class_name", "predicted_ids", *(f"{split}_{name}" for split in splits for name in names)]
    )
    if splits:
        columns = [column for scored in splits.values() for column in _class_columns(scored)]
        for class_id in range(inputs.classes + 1):
            name = inputs.labels.classes.get(class_id, "background" if class_id == 0 else "")
            found = " ".join(map(str, np.flatnonzero(evaluation.match == class_id)))
            writer.writerow([class_id, name, found, *(_format(column[class_id]) for column in columns)])
    return text.getvalue()


def _class_columns(scored: SplitScores) -> list[Float64 | Int64]:
    areas, edges = scored.scores.areas, scored.scores.edges
    shared, pred, true = areas.shared[ALL], areas.pred[ALL], areas.true[ALL]
    precision, recall = shared / np.maximum(pred, 1), shared / np.maximum(true, 1)
    return [100 * areas.iou[ALL], 100 * edges.iou[ALL], 100 * precision, 100 * recall, true, pred]


def _format(value: float | int) -> str:
    return str(int(value)) if isinstance(value, np.integer) else f"{value:.4f}"
