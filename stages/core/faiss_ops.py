"""k-means and nearest neighbors by faiss, on a GPU where there is one. The only module that imports faiss."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError

Float32 = npt.NDArray[np.float32]

_BETWEEN_STARTS = 15_486_557
"""What faiss adds to the seed from one start to the next."""


class Clustering(NamedTuple):
    """The result of k-means."""

    centroids: Float32
    """(K, D), as k-means left them."""
    cluster_ids: npt.NDArray[np.int64]
    """(N,)"""
    distances: Float32
    """(N,) squared Euclidean distance to the own centroid."""
    objective: float
    """Sum of the squared distances."""


class Start(NamedTuple):
    """Where Lloyd's algorithm ended from one random start."""

    centroids: Float32
    """(K, D)"""
    objective: float
    """Sum of the squared distances at its last iteration."""


def kmeans(vectors: Float32, k: int, restarts: int, iterations: int, seed: int) -> Clustering:
    """Lloyd's algorithm from several random starts; the best objective wins.

    The vectors enter in a seeded permutation, so that their order (which may follow folders) has no part in the start.

    Args:
        vectors: (N, D)
        k: Clusters.
        restarts: Random starts.
        iterations: Lloyd iterations of each start.
        seed: Of permutation and starts.

    Raises:
        UserError: Fewer vectors than clusters, or a vector that is not finite.
    """
    check_vectors(vectors, k)
    order = np.random.default_rng(seed).permutation(len(vectors))
    shuffled = np.ascontiguousarray(vectors[order], np.float32)
    starts = (start_kmeans(shuffled, k, iterations, seed, number) for number in range(restarts))
    centroids = min(starts, key=lambda start: start.objective).centroids
    distances, cluster_ids = nearest(vectors, centroids, 1)
    return Clustering(centroids, cluster_ids[:, 0], distances[:, 0], float(distances.sum(dtype=np.float64)))


def start_kmeans(vectors: Float32, k: int, iterations: int, seed: int, number: int = 0) -> Start:
    """Lloyd's algorithm from one random start; they are those of faiss itself with several "redos".

    Args:
        vectors: (N, D), finite, at least k.
        k: Clusters.
        iterations: Lloyd iterations.
        seed: Of the starts.
        number: Which of the starts, from 0.
    """
    import faiss

    wrapped: Any = faiss  # Its type hints lack what SWIG wraps.
    drawn = np.empty(len(vectors), np.int32)
    wrapped.rand_perm(wrapped.swig_ptr(drawn), len(drawn), seed + 1 + number * _BETWEEN_STARTS)
    search = wrapped.Kmeans(
        vectors.shape[1],
        k,
        niter=iterations,
        gpu=faiss.get_num_gpus() > 0,
        min_points_per_centroid=1,
        max_points_per_centroid=len(vectors),
    )
    search.train(vectors, init_centroids=vectors[drawn[:k]])
    return Start(np.asarray(search.centroids, np.float32), float(search.obj[-1]))


def check_vectors(vectors: Float32, k: int) -> None:
    """Check that vectors (N, D) can form k clusters.

    Raises:
        UserError: Fewer vectors than clusters, or a vector that is not finite.
    """
    if len(vectors) < k:
        raise UserError(f"cluster: {len(vectors)} vectors cannot form {k} clusters; lower cluster.k or add photographs")
    if not np.isfinite(vectors).all():
        raise UserError("cluster: an embedding is not finite; the representation has diverged, train it again")


class NeighborIndex:
    """A bank of vectors (N, D) that neighbors are looked for in, exactly; made once for many searches."""

    def __init__(self, bank: Float32) -> None:
        import faiss

        self._index: Any = faiss.IndexFlatL2(bank.shape[1])
        if faiss.get_num_gpus() > 0:
            self._index = faiss.index_cpu_to_all_gpus(self._index)
        self._index.add(np.ascontiguousarray(bank, np.float32))

    def search(self, queries: Float32, count: int) -> tuple[Float32, npt.NDArray[np.int64]]:
        """See `nearest`."""
        distances, rows = self._index.search(np.ascontiguousarray(queries, np.float32), count)
        return distances, rows


def nearest(queries: Float32, bank: Float32, count: int) -> tuple[Float32, npt.NDArray[np.int64]]:
    """The nearest rows of a bank, exactly.

    Args:
        queries: (Q, D)
        bank: (N, D)
        count: Neighbors per query, k.

    Returns:
        Squared Euclidean distances (Q, k), ascending, and rows of the bank (Q, k).
    """
    return NeighborIndex(bank).search(queries, count)


def normalize_rows(vectors: Float32) -> Float32:
    """Bring every row to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    with np.errstate(invalid="ignore"):  # what is not finite stays so, and `kmeans` refuses it
        return np.asarray(vectors / np.maximum(lengths, 1e-8), np.float32)
