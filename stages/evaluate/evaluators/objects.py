"""MaskContrast's object protocol: one vector per salient object decides on all of the object's pixels.

Source: MaskContrast, section 4.4 and its code: k-means of the objects' vectors with several seeds, over-clustering, and
retrieval of the nearest object; IoU over all ids, background included, those that are absent counting 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.faiss_ops import kmeans, nearest, normalize_rows
from stages.core.metrics.kernels import Int64
from stages.core.metrics.matching import Match, match_identity, match_iou

Float32 = npt.NDArray[np.float32]

_STARTS, _ITERATIONS = 10, 100
"""Of each seed; the best of its random starts counts. MaskContrast's code starts once, by k-means++."""


class ObjectCounts(NamedTuple):
    """Pixels of N photographs by true id, background 0."""

    inside: Int64
    """(N, C + 1) of the object."""
    outside: Int64
    """(N, C + 1) of everything else."""


class MeanAndDeviation(NamedTuple):
    """Mean and deviation of a score over several seeds."""

    mean: float
    deviation: float


def count_object(true: npt.NDArray[np.integer], mask: npt.NDArray[np.bool_], classes: int, ignore: int) -> Int64:
    """Count the pixels of a photograph by true id: (2, C + 1), those of the object and those around it.

    Args:
        true: (H, W) ids.
        mask: (H, W) where the object is.
        classes: C; ids above it, and `ignore`, do not count.
        ignore: Id that does not count.
    """
    scored = (true != ignore) & (true <= classes)
    counted = [np.bincount(true[scored & part], minlength=classes + 1) for part in (mask, ~mask)]
    return np.stack(counted).astype(np.int64)


def score_kmeans(vectors: Float32, counts: ObjectCounts, objects: int, seeds: Iterable[int]) -> MeanAndDeviation:
    """MIoU in percent of k-means over several seeds.

    As many clusters as classes are matched one to one by IoU; with more, each takes the class of its largest IoU.

    Args:
        vectors: (N, D) one per photograph; a zero row means that it has no object.
        counts: The same photographs.
        objects: Clusters of objects; the background is one more id.
        seeds: Of the starts.
    """
    there = np.abs(vectors).sum(1) > 0
    scores = []
    for seed in seeds:
        clusters = np.zeros(len(vectors), np.int64)  # where no object is, inside is empty
        clusters[there] = kmeans(vectors[there], objects, _STARTS, _ITERATIONS, seed).cluster_ids
        confusion = _confuse(counts, clusters, objects)
        scores.append(score_confusion(confusion, match_iou(confusion)))
    return MeanAndDeviation(float(np.mean(scores)), float(np.std(scores)))


def score_retrieval(neighbors: Sequence[int] | Int64, counts: ObjectCounts, among: Sequence[int] = ()) -> float:
    """MIoU in percent when every object takes the class of the object it was found nearest to.

    Args:
        neighbors: (N,) class, from 1, of each photograph's nearest object.
        counts: The same photographs.
        among: Classes that are scored: pixels of other classes do not count, and the background not in the mean. None:
            all classes and the background.
    """
    classes = counts.inside.shape[1] - 1
    scored = np.isin(np.arange(classes + 1), (0, *among)) if among else np.ones(classes + 1, bool)
    counts = ObjectCounts(counts.inside * scored, counts.outside * scored)
    confusion = _confuse(counts, np.asarray(neighbors, np.int64) - 1, classes)
    ious = class_ious(confusion, match_identity(classes, classes))
    return float(100 * (ious[list(among)] if among else ious).mean())


def majority_class(true: npt.NDArray[np.integer], mask: npt.NDArray[np.bool_], among: Sequence[int]) -> int:
    """The most frequent of some classes within an object, the lowest of equal ones; 0 where it shows none of them.

    Args:
        true: (H, W) ids.
        mask: (H, W) where the object is.
        among: Classes that count: neither the background nor what is ignored.

    Source: MaskContrast's code, retrieval.
    """
    areas = np.bincount(true[mask & np.isin(true, among)], minlength=1)
    return int(areas.argmax()) if areas.any() else 0


def find_nearest(queries: Float32, bank: Float32, count: int) -> npt.NDArray[np.int64]:
    """Rows (Q, count) of the objects in the bank with the largest cosine, nearest first."""
    return nearest(normalize_rows(queries), normalize_rows(bank), min(count, len(bank)))[1]


def score_confusion(confusion: Int64, match: Match) -> float:
    """MIoU in percent over all true ids, absent ones counting 0.

    Args:
        confusion: (predicted ids, true ids) pixels.
        match: True id of every predicted one, -1 for none.
    """
    return float(100 * class_ious(confusion, match).mean())


def class_ious(confusion: Int64, match: Match) -> npt.NDArray[np.float64]:
    """(C + 1,) IoU of every true id as a fraction, 0 of those that are absent; arguments as of `score_confusion`."""
    merged = np.zeros((confusion.shape[1], confusion.shape[1]), np.int64)
    np.add.at(merged, match[match >= 0], confusion[match >= 0])
    shared = merged.diagonal()
    union = merged.sum(1) + confusion.sum(0) - shared
    return np.asarray(shared / np.maximum(union, 1))


def _confuse(counts: ObjectCounts, clusters: Int64, objects: int) -> Int64:
    """(objects + 1, C + 1) pixels when object n belongs to cluster `clusters[n]`; the first row is the background."""
    confusion = np.zeros((objects + 1, counts.inside.shape[1]), np.int64)
    confusion[0] = counts.outside.sum(0)
    np.add.at(confusion, clusters + 1, counts.inside)
    return confusion
