"""What predictions show by themselves, without a label: categories that cover nothing, and much background."""

from __future__ import annotations

import numpy as np

from stages.core.metrics.kernels import Int64
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.evaluation import Evaluation
from stages.evaluate.report.overlays import cut_prediction

_MUCH_BACKGROUND = 0.7
"""Share of all pixels above which it is said."""
_TOLD = 20
"""Most categories that are listed."""


def describe_coverage(inputs: Inputs, evaluation: Evaluation) -> list[str]:
    """Sentences that warn of predictions that say little; none where masks score them, for the scores tell it there.

    Args:
        inputs: What was read; all predictions are gone through.
        evaluation: With the threshold below which a pixel is background.
    """
    if evaluation.has_scores:
        return []
    areas = _count_pixels(inputs, evaluation)
    said, background = [], areas[0] / max(int(areas.sum()), 1)
    if background > _MUCH_BACKGROUND:
        said.append(f"{100 * background:.0f} % of all pixels are background: little is segmented.")
    if missing := [str(number) for number in range(1, areas.size) if not areas[number]]:
        told = ", ".join(missing[:_TOLD]) + (" …" * (len(missing) > _TOLD))
        said.append(f"{len(missing)} of {areas.size - 1} categories cover no pixel anywhere: {told}.")
    return said


def _count_pixels(inputs: Inputs, evaluation: Evaluation) -> Int64:
    """(clusters + 1,) pixels of each id in all predictions."""
    areas = np.zeros(inputs.clusters + 1, np.int64)
    for image_id in inputs.predictions.image_ids:
        areas += np.bincount(cut_prediction(inputs, evaluation, image_id).reshape(-1), minlength=areas.size)
    return areas
