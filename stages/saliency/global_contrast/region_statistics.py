"""Size, place, spread and colors of the regions of an image, in two passes over its pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.core.jit import kernel
from stages.saliency.gray_maps import Map

_MARGIN = 0.02


class RegionStatistics(NamedTuple):
    """What region contrast needs to know of R regions and P colors; x before y."""

    sizes: NDArray[np.float32]
    """(R,) pixels."""
    centroids: NDArray[np.float32]
    """(R, 2), image sides = 1."""
    offsets: NDArray[np.float32]
    """(R, 2) mean absolute distance from the image's center, image sides = 1."""
    spreads: NDArray[np.float32]
    """(R, 2) mean absolute distance from the centroid. Unit: pixels."""
    colors: NDArray[np.float32]
    """(R, P) pixels of each color."""
    margin_colors: NDArray[np.float32]
    """(R, P) of them in the image's margin."""
    margin_pixels: NDArray[np.float32]
    """(R, 2) pixels in the left and right, and in the top and bottom margin."""
    margin: tuple[int, int]
    """Width of the left and right, and of the top and bottom margin. Unit: pixels."""


def measure_regions(regions: NDArray[np.int32], index: NDArray[np.uint8], n_colors: int) -> RegionStatistics:
    """Measure regions (H, W), ids from 0 without gaps, over the colors (H, W) of their pixels."""
    height, width = regions.shape
    count = int(regions.max()) + 1
    margin = max(1, round(_MARGIN * width)), max(1, round(_MARGIN * height))
    colors, sums = _count(regions, index, np.zeros((count, n_colors), np.int32))
    margin_colors, margin_pixels = _count_margin(regions, index, np.zeros((count, n_colors), np.int32), margin)
    sizes = colors.sum(axis=1)
    means = (sums / sizes[:, None]).astype(np.float32)
    spreads = _spread(regions, means[:, :2].copy()) / sizes[:, None]
    sides = np.array([width, height], np.float32)
    float_colors, float_margin = colors.astype(np.float32), margin_colors.astype(np.float32)
    return RegionStatistics(
        sizes.astype(np.float32), (means[:, :2] + 0.5) / sides, means[:, 2:] / sides, spreads.astype(np.float32),
        float_colors, float_margin, margin_pixels.astype(np.float32), margin,
    )  # fmt: skip


@kernel
def _count(regions: Any, index: Any, colors: Any) -> Any:
    """Pixels (R, P) by color; sums (R, 4) of x, y and their distances from the image's center."""
    height, width = regions.shape
    sums = np.zeros((colors.shape[0], 4))
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    for y in range(height):
        start = 0
        for x in range(width):
            region = regions[y, x]
            colors[region, index[y, x]] += 1
            if x + 1 == width or regions[y, x + 1] != region:
                # One update per run of a region instead of one per pixel.
                n = x + 1 - start
                sums[region, 0] += n * (start + x) / 2
                sums[region, 1] += n * y
                for column in range(start, x + 1):
                    sums[region, 2] += abs(column - middle_x)
                sums[region, 3] += n * abs(y - middle_y)
                start = x + 1
    return colors, sums


@kernel
def _count_margin(regions: Any, index: Any, colors: Any, margin: Any) -> Any:
    """Pixels (R, P) by color within the margin; pixels (R, 2) at the sides and at the ends."""
    height, width = regions.shape
    gap_x, gap_y = min(margin[0], width), min(margin[1], height)
    pixels = np.zeros((colors.shape[0], 2))
    for y in range(height):
        at_end = y < gap_y or y >= height - gap_y
        for x in range(width):
            at_side = x < gap_x or x >= width - gap_x
            if not at_end and not at_side:
                continue
            colors[regions[y, x], index[y, x]] += 1
            pixels[regions[y, x], 0] += at_side
            pixels[regions[y, x], 1] += at_end
    return colors, pixels


@kernel
def _spread(regions: Any, means: Any) -> Any:
    """Sums (R, 2) of absolute distances from the centroid in x and y."""
    sums = np.zeros(means.shape)
    for y in range(regions.shape[0]):
        for x in range(regions.shape[1]):
            region = regions[y, x]
            sums[region, 0] += abs(x - means[region, 0])
            sums[region, 1] += abs(y - means[region, 1])
    return sums


@kernel
def _paint(regions: Any, values: Any, margin: Any) -> Any:
    painted = np.zeros(regions.shape, np.float32)
    for y in range(margin[1], regions.shape[0] - margin[1]):
        for x in range(margin[0], regions.shape[1] - margin[0]):
            painted[y, x] = values[regions[y, x]]
    return painted


def paint_regions(regions: NDArray[np.int32], values: Map, margin: tuple[int, int]) -> Map:
    """Paint values (R,) onto regions (H, W), leaving the image's margin zero."""
    return np.asarray(_paint(regions, values, margin))
