"""Superpixels of an image as a graph: colors, places, neighbors and color paths between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.core.jit import kernel


class SuperpixelGraph(NamedTuple):
    """S superpixels."""

    color_distances: NDArray[np.float32]
    """(S, S) Lab distance of mean colors, L in 0..100."""
    positions: NDArray[np.float32]
    """(S, 2) centroid y, x, image sides = 1."""
    at_border: NDArray[np.bool_]
    """(S,) whether it touches the image's border."""
    linked: NDArray[np.bool_]
    """(S, S) whether two share an edge or both touch the border; not with itself."""


def build_graph(labels: NDArray[np.int32], lab: NDArray[np.uint8]) -> SuperpixelGraph:
    """Build the graph of labels (H, W), ids from 1 without gaps, of an image (H, W, 3) in OpenCV's 8-bit Lab."""
    sums, linked = _collect(labels, lab, int(labels.max()))
    means = sums[:, 1:] / sums[:, :1]
    colors = (means[:, :3] * (100 / 255, 1, 1)).astype(np.float32)
    at_border = np.zeros(len(sums), bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        at_border[edge - 1] = True
    linked |= at_border[:, None] & at_border
    np.fill_diagonal(linked, False)
    distances = np.sqrt(np.square(colors[:, None] - colors[None]).sum(axis=2))
    return SuperpixelGraph(distances, ((means[:, 3:] + 0.5) / labels.shape).astype(np.float32), at_border, linked)


def find_geodesics(graph: SuperpixelGraph) -> NDArray[np.float32]:
    """Shortest sums (S, S) of color distances along the links. Source: Floyd, "Algorithm 97", CACM 1962."""
    lengths = np.where(graph.linked, graph.color_distances, np.float32(np.inf))
    np.fill_diagonal(lengths, 0)
    return np.asarray(_close_paths(lengths))


@kernel
def _close_paths(lengths: Any) -> Any:
    """All-pairs shortest paths in place; rows in the inner loop become vector code."""
    n = lengths.shape[0]
    for middle in range(n):
        onward = lengths[middle]
        for start in range(n):
            so_far, best = lengths[start, middle], lengths[start]
            if so_far < np.float32(np.inf):
                for end in range(n):
                    best[end] = min(best[end], so_far + onward[end])
    return lengths


@kernel
def _collect(labels: Any, lab: Any, count: int) -> Any:
    """Sums (S, 6) of pixels, three colors, y, x; and (S, S) which superpixels share an edge."""
    height, width = labels.shape
    sums, linked = np.zeros((count, 6), np.int64), np.zeros((count, count), np.bool_)
    for y in range(height):
        for x in range(width):
            s = labels[y, x] - 1
            sums[s, 0] += 1
            for c in range(3):
                sums[s, 1 + c] += lab[y, x, c]
            sums[s, 4] += y
            sums[s, 5] += x
            if x + 1 < width:
                other = labels[y, x + 1] - 1
                linked[s, other] = linked[other, s] = True
            if y + 1 < height:
                other = labels[y + 1, x] - 1
                linked[s, other] = linked[other, s] = True
    return sums, linked
