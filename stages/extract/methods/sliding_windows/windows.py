"""Square windows that slide over a grid of patches, and which of them show an object.

Source: TransFGU (Yin et al., ECCV 2022), section 4.2.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
import numpy.typing as npt

Windows = npt.NDArray[np.int64]
"""(n, 3): top, left and side of each window, in patches."""

OBJECT, SURROUNDINGS, NEITHER = 0, 1, -1
"""The first two as positions in `GROUPS`."""


def slide_windows(grid: tuple[int, int], scales: Sequence[float], step: float) -> Windows:
    """The windows of all scales in turn, row by row; the last of a row or column ends at the border.

    Args:
        grid: Height and width in patches.
        scales: Sides as shares of the shorter side, rounded to whole patches.
        step: Share of a side from one window to the next.
    """
    found: list[tuple[int, int, int]] = []
    for scale in scales:
        side = max(round(scale * min(grid)), 1)
        rows, columns = (_starts(length, side, max(round(step * side), 1)) for length in grid)
        found += [(top, left, side) for top, left in product(rows, columns)]
    return np.array(found, np.int64)


def _starts(length: int, side: int, stride: int) -> list[int]:
    steps = -(-(length - side) // stride)
    return [min(number * stride, length - side) for number in range(steps + 1)]


def foreground_shares(mask: npt.NDArray[np.bool_], windows: Windows) -> npt.NDArray[np.float64]:
    """(n,) share of each window that is foreground in a mask (h, w), by sums over all rectangles from the corner."""
    corner = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    top, left, side = windows.T
    bottom, right = top + side, left + side
    inside = corner[bottom, right] - corner[top, right] - corner[bottom, left] + corner[top, left]
    return np.asarray(inside / side**2)


def sort_windows(
    shares: npt.NDArray[np.float64], object_share: float, surroundings_share: float
) -> npt.NDArray[np.int8]:
    """(n,) what each window shows: an object if more than a share is foreground, surroundings if more is not."""
    groups = np.full(len(shares), NEITHER, np.int8)
    groups[1 - shares > surroundings_share] = SURROUNDINGS
    groups[shares > object_share] = OBJECT
    return groups
