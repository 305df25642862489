"""Renders the report's template."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages.core.artifacts.categories import centroid_hash
from stages.core.config.categories import SHORTEST_HASH
from stages.core.images.palette import css_color
from stages.core.metrics.counts import GROUPS
from stages.evaluate import Config
from stages.evaluate.caveats import BADGES, find_caveats, title
from stages.evaluate.evaluators.checks import CHECKS, MEANINGS, Checks
from stages.evaluate.evaluators.clustering import CLUSTERING, Agreement
from stages.evaluate.evaluators.evaluator import EvaluatorResults
from stages.evaluate.evaluators.object_protocol import OBJECTS
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.definitions import PROTOCOLS
from stages.evaluate.protocols.evaluation import Evaluation
from stages.evaluate.provenance import Provenance
from stages.evaluate.report import tables
from stages.evaluate.report.charts import Line, grouped_bars, line_chart
from stages.evaluate.report.embeddings import draw_embedding_maps
from stages.evaluate.report.galleries import Gallery, cluster_sizes, draw_galleries
from stages.evaluate.report.granularity import describe_granularity
from stages.evaluate.report.histories import draw_training_curves
from stages.evaluate.report.object_grid import draw_object_grid
from stages.evaluate.report.overlays import Overlay, choose_split
from stages.evaluate.report.pictures import ERRORS, data_uri
from stages.evaluate.report.published import NOTE, published_numbers
from stages.evaluate.report.segments import draw_cut_outs

_HERE = Path(__file__).parent
_GROUP_NAMES = {"S": "≤ 5 %", "MS": "5–25 %", "ML": "25–50 %", "L": "> 50 %"}


def render_report(
    config: Config,
    inputs: Inputs,
    evaluation: Evaluation,
    results: EvaluatorResults,
    shown: tuple[Provenance, Sequence[Overlay]],
) -> str:
    """Render the report.

    Args:
        config: The stage's parameters.
        inputs: What was read.
        evaluation: Scores, match and threshold.
        results: What the evaluators measured.
        shown: Provenance, and the photographs to show with their masks.
    """
    provenance, overlays = shown
    agreement, objects, checks = results.detail(CLUSTERING), results.detail(OBJECTS) or [], results.detail(CHECKS)
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"percent": _percent, "uri": data_uri}
    context: dict[str, Any] = {
        "css": Markup((_HERE / "report.css").read_text()),
        "config": config,
        "provenance": provenance,
        "strict": provenance.is_strict(evaluation.threshold),
        "protocol_title": title(config.protocol, evaluation.fitted_on, config.working_size),
        "caveats": [
            (BADGES[name], what)
            for name, what in find_caveats(config, inputs, evaluation, results, provenance).items()
            if name in BADGES
        ],
        "facts": tables.provenance_rows(config, evaluation, provenance),
        "params_text": tables.params_text(provenance),
        "overlays": [_describe_overlay(inputs, evaluation, overlay) for overlay in overlays],
        "errors": {name: "rgb({}, {}, {})".format(*rgb) for name, rgb in ERRORS.items()},
        "galleries": [
            _describe_gallery(inputs, evaluation, gallery, checks) for gallery in draw_galleries(config, inputs)
        ],
        "sizes": _size_chart(inputs),
        "clusters": inputs.clusters,
        "warnings": checks.warnings if checks else [],
        "checks": [(MEANINGS[name], value) for name, value in checks.values.items()] if checks else [],
        "granularity": describe_granularity(inputs, checks.stability if checks else None),
        "naming_warning": inputs.naming.warning,
        "centroids": centroid_hash()[:SHORTEST_HASH],
        "photographs": len(inputs.images),
        "training": draw_training_curves(),
        "agreement": agreement,
        "objects": objects,
        "object_grids": {found.split: draw_object_grid(inputs, found) for found in objects},
        "embeddings": draw_embedding_maps(inputs),
        **_describe_scores(config, inputs, evaluation, agreement),
    }
    return environment.get_template("report.html").render(context)


def _describe_scores(
    config: Config, inputs: Inputs, evaluation: Evaluation, agreement: Agreement | None
) -> dict[str, Any]:
    splits, rows = tables.score_rows(evaluation, agreement)
    shown = choose_split(inputs, list(evaluation.splits)) if evaluation.has_scores else None
    scored = evaluation.splits[shown] if shown else None
    return {
        "splits": splits,
        "score_rows": rows,
        "shown": shown,
        "headline": [(label, scored.summary[key]) for key, label in tables.LABELS.items() if key in scored.summary]
        if scored
        else [],
        "images": {split: each.counts.images for split, each in evaluation.splits.items()},
        "protocol": PROTOCOLS[config.protocol],
        "classes": inputs.classes,
        "published": published_numbers(inputs.labels.classes) if evaluation.has_scores else (),
        "published_note": NOTE,
        "own": tables.result_row(evaluation, agreement),
        "class_rows": tables.class_rows(inputs, evaluation, scored) if scored else [],
        "confusion": tables.confusion_table(config, inputs, evaluation, scored) if scored else None,
        "curve": _curve_chart(evaluation),
        "groups": _group_chart(evaluation, "mIoU"),
        "edge_groups": _group_chart(evaluation, "b_mIoU"),
        "series": list(evaluation.splits),
    }


def _curve_chart(evaluation: Evaluation) -> Markup:
    if evaluation.curve is None:
        return Markup("")
    used = evaluation.threshold.hundredths
    mark = (used / 100, f"used: {used / 100:.2f}") if used is not None else None
    return line_chart(
        [Line("validation mIoU", [value / 100 for value in evaluation.curve.hundredths], evaluation.curve.miou)],
        "threshold",
        mark,
    )


def _group_chart(evaluation: Evaluation, name: str) -> Markup:
    keys = [f"{name}_{group}" for group in GROUPS]
    if not any(key in scored.summary for scored in evaluation.splits.values() for key in keys):
        return Markup("")
    bars = [
        Line(split, [], [_or_nan(scored.summary.get(key)) for key in keys])
        for split, scored in evaluation.splits.items()
    ]
    return grouped_bars([_GROUP_NAMES[group] for group in GROUPS], bars, name)


def _size_chart(inputs: Inputs) -> Markup:
    sizes = sorted(cluster_sizes(inputs).tolist(), reverse=True)
    if len(sizes) < 2:
        return Markup("")
    return line_chart([Line("members", range(1, len(sizes) + 1), sizes)], "clusters, largest first", low=0)


def _describe_overlay(inputs: Inputs, evaluation: Evaluation, overlay: Overlay) -> dict[str, Any]:
    def chips(ids: list[int]) -> list[tuple[str, str]]:
        names = [
            tables.class_name(inputs, value) if evaluation.has_scores else inputs.naming.name(value)
            for value in ids[:4]
        ]
        return [(name, css_color(value)) for name, value in zip(names, ids, strict=False)]

    return {"overlay": overlay, "true": chips(overlay.true_ids), "pred": chips(overlay.pred_ids)}


def _describe_gallery(
    inputs: Inputs, evaluation: Evaluation, gallery: Gallery, checks: Checks | None
) -> dict[str, Any]:
    number, naming = gallery.cluster + 1, inputs.naming
    shown = int(naming.shown[number])
    class_id = int(evaluation.match[number]) if evaluation.has_scores else None
    return {
        "gallery": gallery,
        "number": number,
        "name": naming.name(shown) if shown else "hidden",
        "color": css_color(shown) if shown else "#8a8a8a",
        "matched": _describe_class(inputs, class_id),
        "share": checks.segments.shares[number] if checks else None,
        "covered": int(checks.segments.photographs[number]) if checks else 0,
        "cut_outs": draw_cut_outs(inputs, evaluation, checks.segments, number) if checks else [],
    }


def _describe_class(inputs: Inputs, class_id: int | None) -> list[tuple[str, str]]:
    """Name and color of the class that a category was matched with; nothing without masks."""
    if class_id is None:
        return []
    name = tables.class_name(inputs, class_id) if class_id >= 0 else "no class"
    return [(name, css_color(class_id) if class_id > 0 else "#8a8a8a")]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
