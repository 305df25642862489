"""Whether clusters hold more than color: how far a k-means of color histograms agrees with them.

Histograms as in Swain and Ballard, Color Indexing, 1991, here of RGB in 4 x 4 x 4 cells; their square roots, whose
distance is Hellinger's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import Photo, read_photo
from stages.core.faiss_ops import kmeans
from stages.core.image_files import UInt8
from stages.core.images.boxes import crop_box
from stages.core.images.working_size import shrink
from stages.core.metrics.agreement import adjusted_rand
from stages.core.metrics.matching import contingency_matrix
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.evaluate.inputs import Inputs, formed_clusters

_LEAST, _PER_CLUSTER = 1000, 20
"""Members of clusters that are drawn."""
_SIDE, _CELLS = 64, 4
_RESTARTS, _ITERATIONS = 10, 20
_CHUNK, _FEW = 50, 400

Float32 = npt.NDArray[np.float32]
_Box = Sequence[float]
_WHOLE: _Box = (0.0, 0.0, 1.0, 1.0)


class ColorAgreement(NamedTuple):
    """Adjusted Rand indices."""

    clusters: float
    """Between the clusters and those of color histograms."""
    itself: float
    """Between two clusterings of color histograms, of different seeds: no clusters could agree better with them."""


def compare_with_colors(inputs: Inputs) -> ColorAgreement | None:
    """Compare on members drawn by a fixed seed; None where they are neither photographs nor rectangles, or too few."""
    assignments, clusters = inputs.assignments, formed_clusters()
    if assignments.boxes is None and assignments.region_ids.any():
        return None
    drawn = np.random.default_rng(0).permutation(len(assignments.image_ids))
    rows = np.sort(drawn[: max(_LEAST, _PER_CLUSTER * clusters)])
    found = assignments.cluster_ids[rows].astype(np.int64)
    if len(rows) < 2 * clusters:
        return None
    place = {image_id: number for number, image_id in enumerate(inputs.images.image_ids)}
    photos = [inputs.images[place[assignments.image_ids[row]]] for row in rows]
    boxes = [_WHOLE] * len(rows) if assignments.boxes is None else assignments.boxes[rows].tolist()
    colors = _describe_all(list(zip(photos, boxes, strict=True)))
    first, second = (kmeans(colors, clusters, _RESTARTS, _ITERATIONS, seed).cluster_ids for seed in (0, 1))
    shape = (clusters, clusters)
    return ColorAgreement(
        adjusted_rand(contingency_matrix(found, first, shape)), adjusted_rand(contingency_matrix(first, second, shape))
    )


def color_histogram(image: UInt8) -> Float32:
    """(64,) square roots of the shares of pixels of an image (H, W, 3) in cells of RGB."""
    cells = shrink(image, _SIDE).reshape(-1, 3).astype(np.int64) * _CELLS // 256
    counts = np.bincount(cells @ np.array([_CELLS**2, _CELLS, 1]), minlength=_CELLS**3)
    return np.asarray(np.sqrt(counts / counts.sum()), np.float32)


def _describe_all(parts: Sequence[tuple[Photo, _Box]]) -> Float32:
    """(N, 64) histograms of parts of photographs, in several processes where there are many."""
    chunks = [parts[first : first + _CHUNK] for first in range(0, len(parts), _CHUNK)]
    here = (each for each in enumerate(map(_describe, chunks)))
    found = map_in_processes(_describe, chunks) if len(parts) >= _FEW else here
    described = np.empty((len(parts), _CELLS**3), np.float32)
    with Progress(len(parts), "color histograms") as progress, closing(found) as ready:
        for done, (position, histograms) in enumerate(ready, 1):
            described[position * _CHUNK : position * _CHUNK + len(histograms)] = histograms
            progress.update(min(done * _CHUNK, len(parts)))
    return described


def _describe(parts: Sequence[tuple[Photo, _Box]]) -> Float32:
    return np.stack([color_histogram(crop_box(read_photo(photo), box)) for photo, box in parts])
