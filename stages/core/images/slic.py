"""SLIC superpixels: local k-means in color and position, every label one connected component.

`superpixels` uses them as regions, `saliency` (RBD) as the nodes of its graph.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.images.connectivity import connect_labels
from stages.core.jit import kernel


class SLICSettings(NamedTuple):
    """What shapes the regions."""

    region_size: int = 20
    """Distance of the initial centers in pixels."""
    compactness: float = 10.0
    """Weight of position against color; color in OpenCV's 8-bit Lab, where L runs to 255."""
    iterations: int = 5
    """Assignments of pixels to centers."""
    min_size: float = 0.25
    """Smallest component that stands alone, as a share of region_size squared."""


def slic(image: NDArray[np.uint8], settings: SLICSettings) -> NDArray[np.int32]:
    """Cut an image into superpixels of similar color.

    Departures from the paper: centers start from the mean of their grid cell instead of its middle pixel moved to the
    lowest gradient; all iterations but the last look at every second row, which costs no accuracy; a fragment below the
    smallest size joins the neighbor of the closest color, not any neighbor. Sums are of integers, so that the result
    does not depend on the processor's vector width.

    Args:
        image: (H, W, 3), in the color space to compare in: Lab, or RGB where a method wants it.
        settings: See `SLICSettings`.

    Returns:
        (H, W) ids from 1 without gaps in the order of their first pixel; each id is one 4-connected component.

    Source: Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012, algorithm 1.
    """
    height, width = image.shape[:2]
    planes = np.stack(cv2.split(image))
    labels, centers = _grid(height, width, settings.region_size)
    distances = np.empty((height, width), np.float32)
    weight = np.float32((settings.compactness / settings.region_size) ** 2)
    scale = (settings.region_size, weight)
    _update(planes, labels, centers, scale, (0, 2))
    for iteration in range(settings.iterations - 1):
        rows = (iteration % 2, 2)
        _assign(planes, labels, centers, distances, scale, rows)
        _update(planes, labels, centers, scale, rows)
    _assign(planes, labels, centers, distances, scale, (0, 1))
    return connect_labels(_remove_specks(labels), centers[:, :3], int(settings.min_size * settings.region_size**2))


@kernel
def _grid(height: int, width: int, size: int) -> Any:
    """Initial labels (H, W) and centers (K, 5) = three colors, y, x; colors are still zero."""
    rows, columns = max(1, round(height / size)), max(1, round(width / size))
    labels, centers = np.empty((height, width), np.int32), np.zeros((rows * columns, 5), np.float32)
    for k in range(rows * columns):
        centers[k, 3] = (k // columns + 0.5) * height / rows
        centers[k, 4] = (k % columns + 0.5) * width / columns
    of_column = np.arange(width) * columns // width
    for y in range(height):
        labels[y] = (y * rows // height) * columns + of_column
    return labels, centers


@kernel
def _assign(planes: Any, labels: Any, centers: Any, distances: Any, scale: Any, rows: Any) -> None:
    """Give every pixel to the nearest center whose window of +-region_size holds it."""
    size, weight = scale
    first, step = rows
    height, width = labels.shape
    distances[:] = np.float32(np.inf)
    for k in range(centers.shape[0]):
        c0, c1, c2, cy, cx = centers[k, 0], centers[k, 1], centers[k, 2], centers[k, 3], centers[k, 4]
        x0, x1 = max(0, int(cx) - size), min(width, int(cx) + size + 1)
        y0 = max(0, int(cy) - size)
        for y in range(y0 + (first - y0) % step, min(height, int(cy) + size + 1), step):
            p0, p1, p2 = planes[0, y, x0:x1], planes[1, y, x0:x1], planes[2, y, x0:x1]
            nearest, owner = distances[y, x0:x1], labels[y, x0:x1]
            row = weight * (np.float32(y) - cy) * (np.float32(y) - cy)
            offset = np.float32(x0) - cx
            # Selects instead of branches: LLVM turns this row into vector code.
            for i in range(owner.size):
                d0, d1, d2 = np.float32(p0[i]) - c0, np.float32(p1[i]) - c1, np.float32(p2[i]) - c2
                dx = np.float32(np.int32(i)) + offset
                distance = d0 * d0 + d1 * d1 + d2 * d2 + weight * dx * dx + row
                closer = distance < nearest[i]
                nearest[i] = distance if closer else nearest[i]
                owner[i] = np.int32(k) if closer else owner[i]


@kernel
def _update(planes: Any, labels: Any, centers: Any, scale: Any, rows: Any) -> None:
    """Move every center to the mean of its pixels, all of which lie in its window."""
    size, _ = scale
    first, step = rows
    height, width = labels.shape
    for k in range(centers.shape[0]):
        count, s0, s1, s2, sy, sx = 0, 0, 0, 0, 0, 0
        cy, cx = int(centers[k, 3]), int(centers[k, 4])
        x0, x1 = max(0, cx - size), min(width, cx + size + 1)
        y0 = max(0, cy - size)
        for y in range(y0 + (first - y0) % step, min(height, cy + size + 1), step):
            owner, p0, p1, p2 = labels[y, x0:x1], planes[0, y, x0:x1], planes[1, y, x0:x1], planes[2, y, x0:x1]
            n, r0, r1, r2, rx = np.int32(0), np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for i in range(owner.size):
                mine = np.int32(owner[i] == k)
                n += mine
                r0 += np.int32(p0[i]) * mine
                r1 += np.int32(p1[i]) * mine
                r2 += np.int32(p2[i]) * mine
                rx += np.int32(i) * mine
            count, sy, sx = count + int(n), sy + y * int(n), sx + int(rx) + x0 * int(n)
            s0, s1, s2 = s0 + int(r0), s1 + int(r1), s2 + int(r2)
        if count > 0:
            centers[k, 0], centers[k, 1], centers[k, 2] = s0 / count, s1 / count, s2 / count
            centers[k, 3], centers[k, 4] = sy / count, sx / count


@kernel
def _remove_specks(labels: Any) -> Any:
    """Give a pixel between two equal labels their label, along the rows and then along the columns."""
    height, width = labels.shape
    rows, out = labels.copy(), labels.copy()
    for y in range(height):
        for x in range(1, width - 1):
            rows[y, x] = labels[y, x - 1] if labels[y, x - 1] == labels[y, x + 1] else labels[y, x]
    out[0], out[height - 1] = rows[0], rows[height - 1]
    for y in range(1, height - 1):
        for x in range(width):
            out[y, x] = rows[y - 1, x] if rows[y - 1, x] == rows[y + 1, x] else rows[y, x]
    return out
