"""Makes every label of a label map one connected component and joins small ones to a neighbor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stages.core.jit import kernel


def connect_regions(labels: NDArray[np.int32], image: NDArray[np.uint8], min_size: int) -> NDArray[np.int32]:
    """Make every label (H, W) one component, as `connect_labels`; small ones join by the mean colors of the image."""
    return connect_labels(labels, _mean_colors(labels, image), min_size)


def connect_labels(labels: NDArray[np.int32], colors: NDArray[np.float32], min_size: int) -> NDArray[np.int32]:
    """Make every label one 4-connected component of at least `min_size` pixels, where the image has so many.

    Args:
        labels: (H, W) any ids from 0.
        colors: (K, C) mean color of every id, which decides where a small component goes.
        min_size: In pixels; smaller components join the adjacent component of the closest color.

    Returns:
        (H, W) ids from 1 without gaps, in the order of their first pixel.
    """
    runs = _find_runs(labels)
    pairs = _find_touching_runs(runs, labels.shape[0])
    component, components = _find_components(runs, pairs)
    borders = _find_small_borders(component, components[:, 1], pairs, min_size)
    parent = _join_small(components, borders, colors, min_size)
    return np.asarray(_paint(runs, component, parent, labels.shape))


def _mean_colors(labels: NDArray[np.int32], image: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Mean color (K, C) of every id from 0 in labels (H, W) over an image (H, W, C); zero for an id without pixels."""
    ids = labels.ravel()
    sizes = np.maximum(np.bincount(ids), 1)
    sums = [np.bincount(ids, weights=image[..., channel].ravel()) for channel in range(image.shape[2])]
    return (np.stack(sums, axis=1) / sizes[:, None]).astype(np.float32)


@kernel
def _find_runs(labels: Any) -> Any:
    """Runs of equal labels along the rows: (N, 4) row, first column, end column, label."""
    height, width = labels.shape
    runs = np.empty((height * width, 4), np.int32)
    n = 0
    for y in range(height):
        start = 0
        for x in range(1, width + 1):
            if x == width or labels[y, x] != labels[y, start]:
                runs[n, 0], runs[n, 1], runs[n, 2], runs[n, 3] = y, start, x, labels[y, start]
                n, start = n + 1, x
    return runs[:n].copy()


@kernel
def _find_touching_runs(runs: Any, height: int) -> Any:
    """Pairs (M, 2) of runs that share a pixel edge."""
    n = runs.shape[0]
    pairs = np.empty((3 * n, 2), np.int32)
    m, above = 0, 0
    for i in range(n):
        if i > 0 and runs[i - 1, 0] == runs[i, 0]:
            pairs[m, 0], pairs[m, 1] = i - 1, i
            m += 1
        while runs[above, 0] < runs[i, 0] - 1 or (runs[above, 0] == runs[i, 0] - 1 and runs[above, 2] <= runs[i, 1]):
            above += 1
        j = above
        while runs[j, 0] == runs[i, 0] - 1 and runs[j, 1] < runs[i, 2]:
            pairs[m, 0], pairs[m, 1] = j, i
            m, j = m + 1, j + 1
    return pairs[:m]


@kernel
def _root(parent: Any, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@kernel
def _find_components(runs: Any, pairs: Any) -> Any:
    """Component of every run (N,) by union-find, and of every component its label and its pixels (C, 2)."""
    parent = np.arange(runs.shape[0]).astype(np.int32)
    for m in range(pairs.shape[0]):
        if runs[pairs[m, 0], 3] == runs[pairs[m, 1], 3]:
            a, b = _root(parent, pairs[m, 0]), _root(parent, pairs[m, 1])
            parent[max(a, b)] = min(a, b)
    count = 0
    # Roots are the smallest index of their component: one pass numbers them and all that follow.
    components = np.empty((runs.shape[0], 2), np.int32)
    for i in range(runs.shape[0]):
        if parent[i] == i:
            components[count, 0], components[count, 1] = runs[i, 3], 0
            parent[i], count = count, count + 1
        else:
            parent[i] = parent[parent[i]]
        components[parent[i], 1] += runs[i, 2] - runs[i, 1]
    return parent, components[:count]


@kernel
def _find_small_borders(component: Any, sizes: Any, pairs: Any, min_size: int) -> Any:
    """Touching components (M, 2) of which at least one is small."""
    borders = np.empty(pairs.shape, np.int32)
    count = 0
    for m in range(pairs.shape[0]):
        a, b = component[pairs[m, 0]], component[pairs[m, 1]]
        if a != b and min(sizes[a], sizes[b]) < min_size:
            borders[count, 0], borders[count, 1] = a, b
            count += 1
    return borders[:count]


@kernel
def _join_small(components: Any, borders: Any, colors: Any, min_size: int) -> Any:
    """Join small components to their closest neighbors, in rounds until none is left or one remains: `parent` (C,)."""
    n = components.shape[0]
    parent, sizes = np.arange(n).astype(np.int32), components[:, 1].copy()
    closest, gaps = np.empty(n, np.int32), np.empty(n, np.float32)
    count, joined = borders.shape[0], True
    while joined:
        joined = False
        closest[:], gaps[:] = -1, np.inf
        left = 0
        for m in range(count):
            a, b = _root(parent, borders[m, 0]), _root(parent, borders[m, 1])
            if a == b or min(sizes[a], sizes[b]) >= min_size:
                continue
            borders[left, 0], borders[left, 1] = a, b
            left += 1
            gap = np.float32(0)
            for c in range(colors.shape[1]):
                gap += (colors[components[a, 0], c] - colors[components[b, 0], c]) ** 2
            if sizes[a] < min_size and gap < gaps[a]:
                closest[a], gaps[a] = b, gap
            if sizes[b] < min_size and gap < gaps[b]:
                closest[b], gaps[b] = a, gap
        count = left
        for i in range(n):
            if closest[i] >= 0:
                a, b = _root(parent, i), _root(parent, closest[i])
                if a != b:
                    # The larger part is the root: its color speaks for both in the next round.
                    small, large = (a, b) if sizes[a] < sizes[b] else (b, a)
                    parent[small] = large
                    sizes[large] += sizes[small]
                    joined = True
    return parent


@kernel
def _paint(runs: Any, component: Any, parent: Any, shape: Any) -> Any:
    """(H, W) ids from 1 in the order of their first pixel."""
    painted = np.empty(shape, np.int32)
    ids = np.zeros(parent.shape[0], np.int32)
    count = 0
    for i in range(runs.shape[0]):
        root = _root(parent, component[i])
        if ids[root] == 0:
            count += 1
            ids[root] = count
        painted[runs[i, 0], runs[i, 1] : runs[i, 2]] = ids[root]
    return painted
