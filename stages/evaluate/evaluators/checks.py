"""What can be said of a result without labels, and when it is bad: numbers to compare runs by, none of them a score."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from stages.core.artifacts.granularity import Stability, read_stability
from stages.core.artifacts.histories import HISTORY
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import ARTIFACTS, MANIFEST
from stages.evaluate import Config
from stages.evaluate.evaluators.color_clusters import ColorAgreement, compare_with_colors
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResult
from stages.evaluate.evaluators.segments import Segments, survey_segments
from stages.evaluate.inputs import Inputs, formed_clusters
from stages.evaluate.protocols.evaluation import Evaluation

MEANINGS = {
    "stability": "Agreement of clusters that disjoint halves of the data form (adjusted Rand: 100 the same, 0 chance)",
    "seeds": "Agreement of clusters that differ by their seed alone",
    "color": "Agreement of the clusters with a k-means of color histograms",
    "color_seeds": "Agreement of that k-means with itself, by another seed: the most it could be",
    "background": "Pixels that are background",
    "empty": "Categories that cover no pixel",
    "loss": "Loss at the end of pretraining, in percent of what chance gives",
}
"""What each number says, in percent; in the order in which they are shown."""

_MUCH_BACKGROUND = 70.0
_NEAR_CHANCE = 93.0
"""Percent; a training that learns slowly comes to 97 and falls on (`stages.core.engine.diagnosis`)."""
_IN_DOUBT = 0.6
"""Mean Jaccard index below which a cluster should not be trusted. Source: Hennig 2007, section 2."""
_MUCH_COLOR = 0.5
"""Share of the agreement of color's clusters with themselves from which clusters are called those of color."""
_TOLD = 20
"""Most categories that are listed."""
_LAST = 0.05
"""Share of the training whose losses are averaged."""


class Checks(NamedTuple):
    """The numbers, in percent, and what they warn of."""

    values: dict[str, float]
    warnings: list[str]
    segments: Segments
    stability: Stability | None


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> EvaluatorResult[Checks]:
    """All that the artifacts allow; what cannot be measured is left out."""
    segments = survey_segments(inputs, evaluation.threshold, config.gallery_segments)
    stability, colors = read_stability(), compare_with_colors(inputs)
    loss = loss_by_chance()
    missing = _missing_categories(segments, inputs.naming)
    values = {
        **_measure_clusters(stability, colors),
        "background": segments.shares[0],
        "empty": 100 * (len(missing) / max(len(inputs.naming.legend) - 1, 1)),
        **({"loss": loss} if loss is not None else {}),
    }
    values = {name: values[name] for name in MEANINGS if name in values}
    warnings = [
        *_warn_of_training(values),
        *_warn_of_clusters(stability, colors),
        # Where masks score the predictions, the scores tell it.
        *([] if evaluation.has_scores else _warn_of_segments(segments, missing, inputs.naming)),
    ]
    return EvaluatorResult({"checks": values}, Checks(values, warnings, segments, stability))


def loss_by_chance() -> float | None:
    """Mean of the last losses of pretraining in percent of what chance gives; None where chance is not known.

    Of several losses with a chance value, the one that is nearest to it.
    """
    folder = ARTIFACTS / "pretrain"
    chance = read_model_card("pretrain").chance if (folder / MANIFEST).is_file() else None
    if not chance or not (folder / HISTORY).is_file():
        return None
    with (folder / HISTORY).open(newline="") as file:
        rows = list(csv.DictReader(file))
    last = rows[-max(round(_LAST * len(rows)), 1) :]
    found = [
        100 * float(np.mean([float(row[name]) for row in last if row[name]])) / by_chance
        for name, by_chance in chance.items()
        if any(row.get(name) for row in last)
    ]
    return max((value for value in found if np.isfinite(value)), default=None)


def _measure_clusters(stability: Stability | None, colors: ColorAgreement | None) -> dict[str, float]:
    found = {}
    if stability is not None and (own := stability.by_k.get(formed_clusters())):
        found = {"stability": 100 * own.halves, "seeds": 100 * own.seeds}
    if colors is not None:
        found |= {"color": 100 * colors.clusters, "color_seeds": 100 * colors.itself}
    return found


def _warn_of_training(values: dict[str, float]) -> Iterator[str]:
    if values.get("loss", 0) > _NEAR_CHANCE:
        yield (
            f"The loss of pretraining ended at {values['loss']:.0f} % of what chance gives: next to nothing was learnt."
        )


def _warn_of_clusters(stability: Stability | None, colors: ColorAgreement | None) -> Iterator[str]:
    if stability is not None and (own := stability.by_k.get(formed_clusters())) and own.jaccard < _IN_DOUBT:
        yield (
            f"Other halves of the photographs give other clusters (mean Jaccard index {own.jaccard:.2f}, below "
            f"{_IN_DOUBT} in doubt): {own.k} may be the wrong number, see below."
        )
    if colors is not None and colors.clusters > _MUCH_COLOR * colors.itself > 0:
        yield (
            f"A k-means of color histograms makes much the same clusters (adjusted Rand {colors.clusters:.2f}; with "
            f"itself {colors.itself:.2f}): they may hold no more than color."
        )


def _missing_categories(segments: Segments, naming: Naming) -> list[int]:
    """Numbers that are shown and cover no pixel; one that is merged into another, or hidden, is no category."""
    areas = np.bincount(naming.shown, weights=segments.areas, minlength=len(segments.areas))
    return [number for number in naming.legend if number and not areas[number]]


def _warn_of_segments(segments: Segments, missing: list[int], naming: Naming) -> Iterator[str]:
    if segments.shares[0] > _MUCH_BACKGROUND:
        yield f"{segments.shares[0]:.0f} % of all pixels are background: little is segmented."
    if missing:
        told = ", ".join(map(str, missing[:_TOLD])) + (" …" * (len(missing) > _TOLD))
        yield f"{len(missing)} of {len(naming.legend) - 1} categories cover no pixel anywhere: {told}."


CHECKS = Evaluator(
    name="checks",
    needs=("cluster", "predict"),
    measures=("stability", "color", "background", "empty", "loss"),
    is_wanted=lambda config: True,
    measure=_measure,
)
