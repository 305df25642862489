"""SLIC superpixels: local k-means in colour and position, every label one connected component.

`superpixels` uses them as regions, `saliency` (RBD) as the nodes of its graph.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numba
import numpy as np
from numpy.typing import NDArray


class SLICSettings(NamedTuple):
    """What shapes the regions."""

    region_size: int = 20
    """Distance of the initial centres in pixels."""
    compactness: float = 10.0
    """Weight of position against colour; colour in OpenCV's 8-bit Lab, where L runs to 255."""
    iterations: int = 5
    """Assignments of pixels to centres."""
    min_size: float = 0.25
    """Smallest component that stands alone, as a share of region_size squared."""


def slic(image: NDArray[np.uint8], settings: SLICSettings) -> NDArray[np.int32]:
    """Cut an image into superpixels of similar colour.

    Departures from the paper: centres start from the mean of their grid cell instead of its middle pixel moved to the
    lowest gradient; all iterations but the last look at every second row, which costs no accuracy; a fragment below the
    smallest size joins the neighbour of the closest colour, not any neighbour. Sums are of integers, so that the result
    does not depend on the processor's vector width.

    Args:
        image: (H, W, 3), in the colour space to compare in: Lab, or RGB where a method wants it.
        settings: See `SLICSettings`.

    Returns:
        (H, W) ids from 1 without gaps in the order of their first pixel; each id is one 4-connected component.

    Source: Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012, algorithm 1.
    """
    height, width = image.shape[:2]
    planes = np.stack(cv2.split(image))
    labels, centres = _grid(height, width, settings.region_size)
    distances = np.empty((height, width), np.float32)
    weight = np.float32((settings.compactness / settings.region_size) ** 2)
    scale = (settings.region_size, weight)
    _update(planes, labels, centres, scale, (0, 2))
    for iteration in range(settings.iterations - 1):
        rows = (iteration % 2, 2)
        _assign(planes, labels, centres, distances, scale, rows)
        _update(planes, labels, centres, scale, rows)
    _assign(planes, labels, centres, distances, scale, (0, 1))
    return connect_labels(_remove_specks(labels), centres[:, :3], int(settings.min_size * settings.region_size**2))


def connect_labels(labels: NDArray[np.int32], colours: NDArray[np.float32], min_size: int) -> NDArray[np.int32]:
    """Make every label one 4-connected component of at least `min_size` pixels, where the image has so many.

    Args:
        labels: (H, W) any ids from 0.
        colours: (K, C) mean colour of every id, which decides where a small component goes.
        min_size: In pixels; smaller components join the adjacent component of the closest colour.

    Returns:
        (H, W) ids from 1 without gaps, in the order of their first pixel.
    """
    runs = _find_runs(labels)
    pairs = _find_touching_runs(runs, labels.shape[0])
    component, components = _find_components(runs, pairs)
    borders = _find_small_borders(component, components[:, 1], pairs, min_size)
    parent = _join_small(components, borders, colours, min_size)
    return np.asarray(_paint(runs, component, parent, labels.shape))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _grid(height: int, width: int, size: int) -> Any:
    """Initial labels (H, W) and centres (K, 5) = three colours, y, x; colours are still zero."""
    rows, columns = max(1, round(height / size)), max(1, round(width / size))
    labels, centres = np.empty((height, width), np.int32), np.zeros((rows * columns, 5), np.float32)
    for k in range(rows * columns):
        centres[k, 3] = (k // columns + 0.5) * height / rows
        centres[k, 4] = (k % columns + 0.5) * width / columns
    of_column = np.arange(width) * columns // width
    for y in range(height):
        labels[y] = (y * rows // height) * columns + of_column
    return labels, centres


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _assign(planes: Any, labels: Any, centres: Any, distances: Any, scale: Any, rows: Any) -> None:
    """Give every pixel to the nearest centre whose window of +-region_size holds it."""
    size, weight = scale
    first, step = rows
    height, width = labels.shape
    distances[:] = np.float32(np.inf)
    for k in range(centres.shape[0]):
        c0, c1, c2, cy, cx = centres[k, 0], centres[k, 1], centres[k, 2], centres[k, 3], centres[k, 4]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _update(planes: Any, labels: Any, centres: Any, scale: Any, rows: Any) -> None:
    """Move every centre to the mean of its pixels, all of which lie in its window."""
    size, _ = scale
    first, step = rows
    height, width = labels.shape
    for k in range(centres.shape[0]):
        count, s0, s1, s2, sy, sx = 0, 0, 0, 0, 0, 0
        cy, cx = int(centres[k, 3]), int(centres[k, 4])
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
            centres[k, 0], centres[k, 1], centres[k, 2] = s0 / count, s1 / count, s2 / count
            centres[k, 3], centres[k, 4] = sy / count, sx / count


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _root(parent: Any, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _join_small(components: Any, borders: Any, colours: Any, min_size: int) -> Any:
    """Join small components to their closest neighbours, in rounds until none is left or one remains: `parent` (C,)."""
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
            for c in range(colours.shape[1]):
                gap += (colours[components[a, 0], c] - colours[components[b, 0], c]) ** 2
            if sizes[a] < min_size and gap < gaps[a]:
                closest[a], gaps[a] = b, gap
            if sizes[b] < min_size and gap < gaps[b]:
                closest[b], gaps[b] = a, gap
        count = left
        for i in range(n):
            if closest[i] >= 0:
                a, b = _root(parent, i), _root(parent, closest[i])
                if a != b:
                    # The larger part is the root: its colour speaks for both in the next round.
                    small, large = (a, b) if sizes[a] < sizes[b] else (b, a)
                    parent[small] = large
                    sizes[large] += sizes[small]
                    joined = True
    return parent


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
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
