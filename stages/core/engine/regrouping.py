"""k-means of photographs for training: as many groups as asked for, none of them empty or very small."""

import numpy as np
import torch
from torch import Tensor

from stages.core.errors import UserError
from stages.core.faiss_ops import Float32, kmeans, nearest
from stages.core.words import how_many

_ITERATIONS = 20
"""DeepCluster's code: 20."""


def check_group_count(field: str, groups: int, photographs: int) -> None:
    """Check that photographs can fill groups.

    Raises:
        UserError: There are more groups than photographs; `field` of params.yaml says how many.
    """
    if groups > photographs:
        raise UserError(
            f"{field}: {how_many(photographs, 'photograph')} cannot fill {groups} groups; lower it or add photographs"
        )


def group_by_kmeans(vectors: Tensor, groups: int, seed: int, smallest: int = 1) -> tuple[Tensor, Tensor]:
    """Groups (N,) of vectors (N, D) on the CPU, and their centroids (K, D)."""
    rows = np.ascontiguousarray(vectors.numpy(), np.float32)
    found = kmeans(rows, groups, restarts=1, iterations=_ITERATIONS, seed=seed)
    ids = torch.from_numpy(refill(rows, found.cluster_ids, groups, smallest, seed))
    return ids, average_groups(vectors, ids, torch.from_numpy(found.centroids))


def average_groups(vectors: Tensor, ids: Tensor, otherwise: Tensor) -> Tensor:
    """Means (K, D) of the vectors (N, D) of each group (N,); an empty group keeps its row of `otherwise` (K, D)."""
    counts = torch.bincount(ids, minlength=len(otherwise))[:, None]
    sums = torch.zeros_like(otherwise).index_add(0, ids, vectors)
    return torch.where(counts > 0, sums / counts.clamp(min=1), otherwise)


def refill(vectors: Float32, ids: np.ndarray, groups: int, smallest: int, seed: int) -> np.ndarray:
    """Groups (N,) of which none has fewer members than `smallest`, as far as photographs allow.

    The members of a group that is too small join their nearest other centroids, and it takes a half of the largest
    group, which 2-means divides.

    Args:
        vectors: (N, D)
        ids: (N,) groups so far.
        groups: K
        smallest: Members of a group.
        seed: Of the division.

    Source: Zhan et al., Online Deep Clustering for Unsupervised Representation Learning, CVPR 2020, section 3.3
    (handling clustering distribution).
    """
    ids = np.array(ids, np.int64)
    counts = np.bincount(ids, minlength=groups)
    small, large = np.flatnonzero(counts < smallest), np.flatnonzero(counts >= smallest)
    if len(small) == 0 or len(large) == 0:
        return ids
    lost = np.isin(ids, small)
    if lost.any():
        centroids = np.stack([vectors[ids == group].mean(0) for group in large])
        ids[lost] = large[nearest(vectors[lost], centroids, 1)[1][:, 0]]
    for group in small:
        counts = np.bincount(ids, minlength=groups)
        members = np.flatnonzero(ids == counts.argmax())
        if len(members) < max(2 * smallest, 2):
            break
        ids[members[_second_half(vectors[members], smallest, seed)]] = group
    return ids


def _second_half(vectors: Float32, smallest: int, seed: int) -> np.ndarray:
    """Which members (n,) of a group leave it, by 2-means; or the second half where that leaves too few on a side."""
    leaving: np.ndarray = kmeans(vectors, 2, restarts=1, iterations=_ITERATIONS, seed=seed).cluster_ids == 1
    if min(leaving.sum(), (~leaving).sum()) < max(smallest, 1):
        leaving = np.arange(len(vectors)) >= len(vectors) // 2
    return leaving
