"""Compiled pixel loops of the evaluation: boundaries, ranks of scores, and the joint histogram of an image.

A prediction that is cut at a threshold changes in one way only: a pixel with score s keeps its id at every threshold up
to s and is background above. Everything that depends on the threshold is therefore an interval of thresholds per pixel,
and one pass over the image counts all thresholds at once, boundaries included.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.jit import kernel

UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]
Int64 = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating]

_FREE = -1


class Histogram(NamedTuple):
    """Joint counts of one image; G true ids and P predicted ids occur in it, T thresholds are counted."""

    true_ids: Int64
    """(G,) true ids in order of appearance, without the ignored id."""
    pred_ids: Int64
    """(P,) predicted ids in order of appearance, 0 first. Ids that occur under ignored pixels only have no counts."""
    pixels: Int64
    """(G, P, T + 1) pixels by rank, the number of thresholds at which the predicted id stands."""
    foreground_edge: Int64
    """(G, P, 2, T + 1) steps along the thresholds of the pixels on a predicted object's boundary.

    Third axis: whether they lie on a true boundary too.
    """
    background_edge: Int64
    """(G, 2, T + 1) the same for the boundary of the predicted background."""
    true_edge: Int64
    """(G,) pixels on the boundary of the true map."""


def boundary_radius(height: int, width: int) -> int:
    """Erosions that make the boundary band of an image: 3 % of its diagonal, at least 1.

    Source: the boundary score of the ImageNet-S benchmark; the diagonal is that of the photograph.
    """
    return max(1, round(0.03 * float(np.hypot(height, width))))


@kernel
def find_boundary(ids: UInt16, radius: int) -> UInt8:
    """Mark the pixels within a Chebyshev distance of another id or of the world outside the frame.

    Equals eroding the mask of each id `radius` times by 3x3 with a frame of zeros.

    Args:
        ids: (H, W) id map.
        radius: Distance in pixels.

    Returns:
        (H, W) uint8, 1 on the boundary.
    """
    height, width = ids.shape
    edge = np.ones((height, width), np.uint8)
    side = 2 * radius + 1
    depth = np.zeros(width, np.int32)
    inside = np.zeros(width, np.uint8)
    for y in range(height):
        _mark_inside(ids[y], radius, inside)
        above = ids[max(y - 1, 0)]
        for x in range(width):
            grown = depth[x] + 1 if ids[y, x] == above[x] else 1
            depth[x] = grown if inside[x] else 0
        if y >= radius:
            for x in range(width):
                edge[y - radius, x] = depth[x] < side
    return edge


@kernel
def _mark_inside(row: UInt16, radius: int, inside: UInt8) -> None:
    inside[:] = 0
    start = 0
    for x in range(1, row.size + 1):
        if x == row.size or row[x] != row[start]:
            if x - start > 2 * radius:
                inside[start + radius : x - radius] = 1
            start = x


@kernel
def rank_scores(scores: Floats, thresholds: Floats, start: UInt8) -> UInt8:
    """Count the thresholds that each score reaches, compared exactly.

    Args:
        scores: (H, W) scores.
        thresholds: (T,) increasing, T <= 255, of the same type.
        start: (102,) thresholds in hundredths up to each whole percent, the guess that is corrected here.

    Returns:
        (H, W) uint8, `sum(score >= thresholds)`.
    """
    height, width = scores.shape
    ranks = np.empty((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            score = scores[y, x]
            rank = start[int(min(max(score * 100, 0), 101))]
            while rank < thresholds.size and thresholds[rank] <= score:
                rank += 1
            while rank > 0 and thresholds[rank - 1] > score:
                rank -= 1
            ranks[y, x] = rank
    return ranks


@kernel
def list_ids(ids: UInt16, first: int) -> tuple[Int64, npt.NDArray[np.int32]]:
    """Number the ids of a map in order of appearance, `first` ahead of them if it is not negative.

    Returns:
        The ids, and their number by id (-1 where an id does not occur).
    """
    numbers = np.full(65536, _FREE, np.int32)
    found = np.empty(65536, np.int64)
    count = 0
    if first >= 0:
        numbers[first], found[0], count = 0, first, 1
    last = -1
    for value in ids.ravel():
        if value != last:
            last = int(value)
            if numbers[value] == _FREE:
                numbers[value], found[count] = count, value
                count += 1
    return found[:count].copy(), numbers


class ThresholdSteps(NamedTuple):
    """How each pixel of a prediction changes along the T thresholds; all (H, W) uint8."""

    ranks: UInt8
    """Thresholds at which the predicted id stands; 0 where it is 0."""
    low: UInt8
    """First threshold at which the pixel, while it stands, lies on a boundary."""
    high: UInt8
    """Threshold from which the pixel, once it is background, lies on no boundary."""


@kernel
def count_pairs(
    true: UInt16, pred: UInt16, true_edge: UInt8, steps: ThresholdSteps, limits: tuple[int, int]
) -> tuple[Int64, Int64, Int64, Int64, Int64, Int64]:
    """Count one image for all pairs of ids and all thresholds; returns the fields of `Histogram` in their order.

    Args:
        true: (H, W) true ids.
        pred: (H, W) predicted ids.
        true_edge: (H, W) boundary of the true map.
        steps: The prediction along the thresholds.
        limits: True id whose pixels do not count, and the number of thresholds T.
    """
    ignore, levels = limits
    true_ids, true_number = list_ids(true, -1)
    pred_ids, pred_number = list_ids(pred, 0)
    pixels = np.zeros((true_ids.size, pred_ids.size, levels + 1), np.int64)
    foreground = np.zeros((true_ids.size, pred_ids.size, 2, levels + 1), np.int64)
    background = np.zeros((true_ids.size, 2, levels + 1), np.int64)
    on_edge = np.zeros(true_ids.size, np.int64)
    for y in range(true.shape[0]):
        for x in range(true.shape[1]):
            if true[y, x] == ignore:
                continue
            i, j = true_number[true[y, x]], pred_number[pred[y, x]]
            rank, low, high, edge = steps.ranks[y, x], steps.low[y, x], steps.high[y, x], true_edge[y, x]
            pixels[i, j, rank] += 1
            on_edge[i] += edge
            if low < rank:
                foreground[i, j, edge, low] += 1
                foreground[i, j, edge, rank] -= 1
            if rank < high:
                background[i, edge, rank] += 1
                background[i, edge, high] -= 1
    return true_ids, pred_ids, pixels, foreground, background, on_edge


def histogram(true: UInt16, pred: UInt16, ignore: int, ranks: UInt8 | None = None, levels: int = 1) -> Histogram:
    """Count one image.

    Args:
        true: (H, W) true ids.
        pred: (H, W) predicted ids, 0 background.
        ignore: True id whose pixels do not count; -1 for none.
        ranks: (H, W) thresholds that each pixel's score reaches; None if the prediction stands at every threshold.
        levels: Number of thresholds T, at most 255.
    """
    radius = boundary_radius(*true.shape)
    edge = find_boundary(pred, radius)
    if ranks is None:
        steps = ThresholdSteps(np.where(pred > 0, np.uint8(levels), np.uint8(0)), levels * (1 - edge), levels * edge)
    else:
        steps = _follow_thresholds(np.where(pred > 0, ranks, np.uint8(0)), edge, radius, levels)
    return Histogram(*count_pairs(true, pred, find_boundary(true, radius), steps, (ignore, levels)))


def _follow_thresholds(ranks: UInt8, edge: UInt8, radius: int, levels: int) -> ThresholdSteps:
    """An object is cut where a pixel of the window falls below the threshold; background ends where one stays above."""
    import cv2

    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    low = np.where(edge, np.uint8(0), cv2.erode(ranks, window))
    high = cv2.dilate(ranks, window)
    frame = np.ones(ranks.shape, bool)
    frame[radius:-radius, radius:-radius] = False
    high[frame] = levels
    return ThresholdSteps(ranks, low, high)
