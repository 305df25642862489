"""Cut-outs of segments: what a category covers in predictions, the rest of the photograph faded."""

from __future__ import annotations

import numpy as np

from stages.core.metrics.kernels import UInt8, UInt16
from stages.evaluate.evaluators.segments import Segments
from stages.evaluate.inputs import Inputs, cut_prediction
from stages.evaluate.protocols.evaluation import Evaluation
from stages.evaluate.report.pictures import data_uri, thumbnail

_MARGIN = 0.1
"""Of the segment's larger side, shown around it."""
_FADED = 0.75
"""Share of white in what does not belong to the segment."""


def draw_cut_outs(inputs: Inputs, evaluation: Evaluation, segments: Segments, number: int) -> list[tuple[str, str]]:
    """Data URI and image id of the photographs that were drawn for a category.

    Args:
        inputs: What was read.
        evaluation: With the threshold below which a pixel is background.
        segments: Which photographs were drawn.
        number: Predicted id, from 1.
    """
    place = {image_id: position for position, image_id in enumerate(inputs.images.image_ids)}
    shown = []
    for image_id in segments.drawn[number]:
        if image_id in place:
            ids = cut_prediction(inputs.predictions[image_id], evaluation.threshold)
            photo = inputs.images.read(place[image_id])
            shown.append((data_uri(thumbnail(cut_out(photo, ids, number))), image_id))
    return shown


def cut_out(photo: UInt8, ids: UInt16, number: int) -> UInt8:
    """The square around the pixels of an id (H, W) in a photograph (H, W, 3), as far as one fits; others fade."""
    rows, columns = (np.flatnonzero((ids == number).any(axis)) for axis in (1, 0))
    side = max(int(rows[-1] - rows[0]), int(columns[-1] - columns[0])) + 1
    side = min(side + round(2 * _MARGIN * side), *photo.shape[:2])
    top, left = (
        int(np.clip((found[0] + found[-1] + 1 - side) // 2, 0, size - side))
        for found, size in zip((rows, columns), photo.shape, strict=False)
    )
    window = slice(top, top + side), slice(left, left + side)
    others = (ids[window] != number)[..., None]
    return np.where(others, photo[window] * (1 - _FADED) + 255 * _FADED, photo[window]).astype(np.uint8)
