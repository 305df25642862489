"""How far two clusterings of the same things agree, whatever their clusters are numbered by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]
Float64 = npt.NDArray[np.float64]


def adjusted_rand(contingency: Int64) -> float:
    """The adjusted Rand index: 1 for equal clusterings, about 0 for those that have nothing to do with each other.

    The correction for chance makes clusterings of few and of many clusters comparable.

    Args:
        contingency: (rows, columns) things that are in both.

    Source: Hubert and Arabie, Comparing Partitions, 1985, equation 5.
    """
    both, rows, columns = (_pairs(counts) for counts in (contingency, contingency.sum(1), contingency.sum(0)))
    by_chance = rows * columns / max(_pairs(contingency.sum()), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == by_chance else float((both - by_chance) / (most - by_chance))


def best_jaccard(contingency: Int64) -> Float64:
    """Of each row's cluster that has members, how well the most alike column's cluster is the same: shared by joined.

    Args:
        contingency: (rows, columns) things that are in both.

    Source: Hennig, Cluster-wise Assessment of Cluster Stability, 2007, section 2; there 0.75 and more is stable, 0.6
    to 0.75 a pattern whose members are in doubt, 0.5 and less dissolved.
    """
    sizes, others = contingency.sum(1), contingency.sum(0)
    joined = sizes[:, None] + others - contingency
    shares: Float64 = (contingency / np.maximum(joined, 1)).max(1)[sizes > 0]
    return shares


def _pairs(counts: Int64 | np.int64) -> float:
    return float((np.asarray(counts, np.float64) * (np.asarray(counts, np.float64) - 1) / 2).sum())
