"""Lloyd's iterations over many vectors that are looked at in parts, in float32 or float16, without a copy of them.

ImageNet-S has 1.2 million vectors of 2048 values, 5 GB in float16; COCO 16.6 million windows of 384, 13 GB. faiss alone
would hold them in float32, and once more in the order of its start.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError
from stages.core.faiss_ops import Float32, check_vectors, nearest, normalize_rows
from stages.core.words import how_many

STREAMED = 500_000
"""Rows above which vectors in float16 are not turned into float32 as a whole."""

_VALUES_AT_ONCE = 1 << 26
"""Of a part: 256 MB in float32."""


@dataclass(frozen=True)
class VectorRows:
    """Some rows of a table of vectors, which is not copied for them."""

    vectors: npt.NDArray[Any]
    """(N, D) float32 or float16."""
    rows: npt.NDArray[np.int64]
    """(M,)"""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def size(self) -> int:
        """D, the numbers of a vector."""
        return int(self.vectors.shape[1])

    def take(self, positions: npt.NDArray[np.int64] | slice) -> Float32:
        """Vectors (P, D) at positions among the rows; a copy."""
        return self.vectors[self.rows[positions]].astype(np.float32, copy=False)

    def parts(self) -> Iterator[tuple[slice, Float32]]:
        """Positions and what stands there (P, D), in turn."""
        at_once = max(_VALUES_AT_ONCE // self.size, 1)
        for first in range(0, len(self), at_once):
            positions = slice(first, first + at_once)
            yield positions, self.take(positions)

    def check(self, k: int) -> None:
        """Check that they can form k clusters.

        Raises:
            UserError: There are fewer, or one is not finite.
        """
        if len(self) < k:
            raise UserError(
                f"cluster: {how_many(len(self), 'vector')} cannot form {k} clusters; lower cluster.k or add photographs"
            )
        for _, part in self.parts():
            check_vectors(part, 0)


def normalize_in_place(vectors: npt.NDArray[Any]) -> None:
    """Bring every row (D,) of a table (N, D) to length 1, in the kind of number that it has."""
    for rows, part in VectorRows(vectors, np.arange(len(vectors))).parts():
        vectors[rows] = normalize_rows(part)


def assign(vectors: VectorRows, centroids: Float32) -> tuple[Float32, npt.NDArray[np.int64]]:
    """Squared distance (M,) of every row to the nearest centroid, and the number (M,) of that centroid."""
    distances, cluster_ids = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.int64)
    for positions, part in vectors.parts():
        far, ids = nearest(part, centroids, 1)
        distances[positions], cluster_ids[positions] = far[:, 0], ids[:, 0]
    return distances, cluster_ids


def improve(vectors: VectorRows, centroids: Float32) -> Float32:
    """One of Lloyd's iterations: the means (K, D) of the vectors that are nearest to each centroid (K, D).

    A cluster that loses all its vectors starts again at the vector that is farthest from its centroid.
    """
    from scipy.sparse import csr_array

    k = len(centroids)
    sums: npt.NDArray[Any] = np.zeros(centroids.shape, np.float64)
    counts, distances = np.zeros(k, np.int64), np.empty(len(vectors), np.float32)
    for positions, part in vectors.parts():
        far, ids = nearest(part, centroids, 1)
        members = csr_array((np.ones(len(part), np.float32), (ids[:, 0], np.arange(len(part)))), (k, len(part)))
        sums += members @ part
        counts += np.bincount(ids[:, 0], minlength=k)
        distances[positions] = far[:, 0]
    moved = (sums / np.maximum(counts, 1)[:, None]).astype(np.float32)
    if len(empty := np.flatnonzero(counts == 0)):
        moved[empty] = vectors.take(np.argsort(-distances, kind="stable")[: len(empty)])
    return moved
