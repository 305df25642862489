"""Graph-based segmentation (Felzenszwalb and Huttenlocher), for superpixels and region contrast."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.jit import kernel

_STEPS = 64
"""Edge weights are sorted by counting, in steps of 1/64 of their unit ..."""
_LEVELS = 64 * 256
"""... up to 256; steeper edges count as equal."""


def segment_photo(image: NDArray[np.uint8], k: float, min_size: int, sigma: float) -> NDArray[np.int32]:
    """Segments (H, W) of an RGB image (H, W, 3) in Lab, L in 0..100, after a Gaussian of `sigma` pixels.

    See `segment_graph`, whose weights are then Lab distances.
    """
    lab = cv2.cvtColor(image.astype(np.float32) / np.float32(255), cv2.COLOR_RGB2LAB)
    side = 2 * int(np.ceil(4 * sigma)) + 1
    return segment_graph(cv2.GaussianBlur(lab, (side, side), sigma), k, min_size)


def segment_graph(image: NDArray[np.float32], k: float, min_size: int) -> NDArray[np.int32]:
    """Merge pixels along their 8-connected graph, the weakest edges first.

    Args:
        image: (H, W, 3), already smoothed; an edge weighs the Euclidean distance of its pixels.
        k: Scale of observation: larger values give larger segments. Unit: that of the weights, times pixels.
        min_size: Smaller segments join a neighbor over their weakest edge. Unit: pixels.

    Returns:
        (H, W) ids from 0 without gaps, in the order of their first pixel.

    Source: "Efficient Graph-Based Image Segmentation", IJCV 2004, algorithm 1.
    """
    height, width = image.shape[:2]
    levels = _weigh_edges(image)
    edges, starts = _sort_edges(levels)
    parent = -np.ones(height * width, np.int32)
    left = _merge_edges(edges, starts, parent, (width, np.float32(k)))
    _merge_small(left, parent, (width, min_size))
    return np.asarray(_number(parent)).reshape(height, width)


@kernel
def _weigh_edges(image: Any) -> Any:
    """Level of each pixel's edges to the right, below right, below, below left: (4, H, W); -1 where there is none."""
    height, width = image.shape[:2]
    levels = np.full((4, height, width), -1, np.int16)
    for direction in range(4):
        dy, dx = (0, 1, 1, 1)[direction], (1, 1, 0, -1)[direction]
        for y in range(height - dy):
            first, end = max(0, -dx), width - max(0, dx)
            row, other, out = image[y, first:end], image[y + dy, first + dx : end + dx], levels[direction, y, first:end]
            for x in range(end - first):
                d0, d1, d2 = row[x, 0] - other[x, 0], row[x, 1] - other[x, 1], row[x, 2] - other[x, 2]
                weight = np.sqrt(d0 * d0 + d1 * d1 + d2 * d2) * np.float32(_STEPS)
                out[x] = np.int16(min(weight, np.float32(_LEVELS - 1)))
    return levels


@kernel
def _sort_edges(levels: Any) -> Any:
    """Edges as pixel * 4 + direction by rising level, and where each level starts; a counting sort."""
    flat = levels.reshape(4, -1)
    starts = np.zeros(_LEVELS + 1, np.int32)
    for direction in range(4):
        for pixel in range(flat.shape[1]):
            starts[flat[direction, pixel] + 1] += 1
    starts[0] = 0  # edges that do not exist
    for level in range(_LEVELS):
        starts[level + 1] += starts[level]
    position = starts.copy()
    edges = np.empty(starts[_LEVELS], np.int32)
    for direction in range(4):
        for pixel in range(flat.shape[1]):
            level = flat[direction, pixel]
            if level >= 0:
                edges[position[level]] = pixel * 4 + direction
                position[level] += 1
    return edges, starts


@kernel
def _root(parent: Any, i: int) -> int:
    while parent[i] >= 0:
        above = parent[i]
        if parent[above] >= 0:
            parent[i] = parent[above]
        i = above
    return i


@kernel
def _other_end(edge: int, width: int) -> int:
    direction = edge & 3
    pixel = edge >> 2
    if direction == 0:
        return pixel + 1
    return pixel + width + 2 - direction


@kernel
def _merge_edges(edges: Any, starts: Any, parent: Any, rule: Any) -> Any:
    """Merge where an edge is no stronger than either side's own variation; returns the edges that did not merge.

    `parent` holds the parent of a pixel, or minus the size of a root's segment.
    """
    width, k = rule
    limits = np.full(parent.shape[0], k, np.float32)
    left = np.empty(edges.shape[0], np.int32)
    count = 0
    for level in range(_LEVELS):
        weight = np.float32(level) / np.float32(_STEPS)
        for e in range(starts[level], starts[level + 1]):
            a, b = _root(parent, edges[e] >> 2), _root(parent, _other_end(edges[e], width))
            if a == b:
                continue
            if weight <= limits[a] and weight <= limits[b]:
                large, small = (a, b) if parent[a] <= parent[b] else (b, a)
                parent[large] += parent[small]
                parent[small] = large
                limits[large] = weight - k / np.float32(parent[large])
            else:
                left[count] = edges[e]
                count += 1
    return left[:count]


@kernel
def _merge_small(left: Any, parent: Any, rule: Any) -> None:
    """Merge over the remaining edges, weakest first, where one side is too small."""
    width, min_size = rule
    for e in range(left.shape[0]):
        a, b = _root(parent, left[e] >> 2), _root(parent, _other_end(left[e], width))
        if a != b and (-parent[a] < min_size or -parent[b] < min_size):
            large, small = (a, b) if parent[a] <= parent[b] else (b, a)
            parent[large] += parent[small]
            parent[small] = large


@kernel
def _number(parent: Any) -> Any:
    """Ids from 0 in the order of first pixels."""
    ids = np.full(parent.shape[0], -1, np.int32)
    labels = np.empty(parent.shape[0], np.int32)
    count = 0
    for i in range(parent.shape[0]):
        root = _root(parent, i)
        if ids[root] < 0:
            ids[root] = count
            count += 1
        labels[i] = ids[root]
    return labels
