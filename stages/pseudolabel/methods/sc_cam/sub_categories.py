"""Sub-categories: groups of the photographs of a category, by their features."""

import numpy as np
import numpy.typing as npt

from stages.core.faiss_ops import kmeans

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_ITERATIONS = 20
"""Of Lloyd's algorithm."""


def find_sub_categories(vectors: Float32, ids: Int64, count: int, seed: int) -> Int64:
    """Group the photographs of each category by k-means.

    Args:
        vectors: (N, D) of photographs.
        ids: (N, T) their categories; -1 for none.
        count: K groups of each category; one of fewer photographs has one group for each of them.
        seed: Of k-means.

    Returns:
        (N, T) category times K + group; -1 for none.

    Source: SC-CAM, section 3.2.
    """
    found = np.full(ids.shape, -1, np.int64)
    for category in np.unique(ids[ids >= 0]):
        rows, columns = np.nonzero(ids == category)
        few = len(rows) <= count
        groups = np.arange(len(rows)) if few else kmeans(vectors[rows], count, 1, _ITERATIONS, seed).cluster_ids
        found[rows, columns] = category * count + groups
    return found
