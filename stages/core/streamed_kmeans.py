"""k-means of more vectors than fit into memory in float32: they stay in float16, and are looked at in parts.

COCO has 16.6 million windows of 384 values: 13 GB in float16. faiss alone would take 50 GB beside them.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError
from stages.core.faiss_ops import Clustering, Float32, nearest, normalize_rows

STREAMED = 4_000_000
"""Rows above which vectors in float16 are not turned into float32 as a whole."""

_AT_ONCE = 1 << 18

Halves = npt.NDArray[np.float16]


def streamed_kmeans(vectors: Halves, k: int, restarts: int, iterations: int, seed: int) -> Clustering:
    """Lloyd's algorithm from several random starts, as `stages.core.faiss_ops.kmeans`; its random numbers are others.

    A cluster that loses all its vectors starts again at the vector that is farthest from its centroid.

    Args:
        vectors: (N, D)
        k: Clusters.
        restarts: Random starts.
        iterations: Lloyd iterations of each start.
        seed: Of the starts.

    Raises:
        UserError: Fewer vectors than clusters, or a vector that is not finite.
    """
    if len(vectors) < k:
        raise UserError(f"cluster: {len(vectors)} vectors cannot form {k} clusters; lower cluster.k or add photographs")
    if not all(np.isfinite(part).all() for _, part in _parts(vectors)):
        raise UserError("cluster: an embedding is not finite; the representation has diverged, train it again")
    best: Clustering | None = None
    for rng in np.random.default_rng(seed).spawn(restarts):
        centroids = vectors[np.sort(rng.permutation(len(vectors))[:k])].astype(np.float32)
        found = _cluster_by(vectors, centroids)
        for _ in range(iterations):
            centroids = _move(vectors, found)
            found = _cluster_by(vectors, centroids)
        if best is None or found.objective < best.objective:
            best = found
    assert best is not None
    return best


def unit_rows(vectors: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Vectors (N, D) of length 1, in float16 where they are."""
    if vectors.dtype != np.float16:
        return normalize_rows(vectors)
    unit = np.empty_like(vectors)
    for rows, part in _parts(vectors):
        unit[rows] = normalize_rows(part)
    return unit


def _parts(vectors: Halves) -> Iterator[tuple[slice, Float32]]:
    """Rows and what they hold in float32, in turn."""
    for first in range(0, len(vectors), _AT_ONCE):
        rows = slice(first, first + _AT_ONCE)
        yield rows, vectors[rows].astype(np.float32)


def assign(vectors: npt.NDArray[Any], centroids: Float32) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Squared distance (N,) of vectors (N, D) in float32 or float16 to the nearest centroid, and its number (N,)."""
    if vectors.dtype != np.float16:
        far, ids = nearest(vectors, centroids, 1)
        return far[:, 0], ids[:, 0]
    distances, cluster_ids = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.int64)
    for rows, part in _parts(vectors):
        distances[rows], cluster_ids[rows] = assign(part, centroids)
    return distances, cluster_ids


def _cluster_by(vectors: Halves, centroids: Float32) -> Clustering:
    distances, cluster_ids = assign(vectors, centroids)
    return Clustering(centroids, cluster_ids, distances, float(distances.sum(dtype=np.float64)))


def _move(vectors: Halves, found: Clustering) -> Float32:
    """(K, D) the means of the clusters' vectors."""
    from scipy.sparse import csr_array

    k, size = found.centroids.shape
    sums: npt.NDArray[Any] = np.zeros((k, size), np.float64)
    for rows, part in _parts(vectors):
        ids = found.cluster_ids[rows]
        sums += csr_array((np.ones(len(ids)), (ids, np.arange(len(ids)))), (k, len(ids))) @ part
    counts = np.bincount(found.cluster_ids, minlength=k)
    centroids = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    if len(empty := np.flatnonzero(counts == 0)):
        farthest = np.argsort(-found.distances, kind="stable")[: len(empty)]
        centroids[empty] = vectors[farthest]
    return centroids
