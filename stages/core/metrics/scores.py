"""Computes IoU, F, accuracy and the benchmarks' summaries from counts and a match."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.metrics.counts import ALL, GROUPS, Counts, Float64
from stages.core.metrics.kernels import Int64
from stages.core.metrics.matching import UNMATCHED, Match

Bools = npt.NDArray[np.bool_]


class Areas(NamedTuple):
    """Pixels per true id; (S, C + 1) for the size groups and, last, all pixels."""

    shared: Int64
    pred: Int64
    true: Int64

    @property
    def iou(self) -> Float64:
        """Intersection over union, 0 for an id that occurs nowhere."""
        return np.asarray(self.shared / (self.pred + self.true - self.shared + 1e-10))

    @property
    def is_present(self) -> Bools:
        """Whether an id occurs in the truth or the prediction."""
        return self.pred + self.true > 0


class Scores(NamedTuple):
    """Scores of one split at one threshold with one match."""

    areas: Areas
    edges: Areas
    """The same on the boundary maps."""
    f: float
    """Mean over the images of the foreground's F, beta^2 = 0.3."""
    accuracy: float
    """Share of the images whose largest object is an object in them."""
    pixel_accuracy: float


def score(counts: Counts, match: Match, level: int = 0) -> Scores:
    """Score one threshold of a set of images.

    Args:
        counts: The set.
        match: Class of every predicted id.
        level: Which threshold.
    """
    areas = Areas(_shared(counts, match, level), _by_class(counts.pred_area, counts, match, level), counts.true_area)
    edges = Areas(
        _shared(counts, match, level, on_edges=True),
        _by_class(counts.pred_edge, counts, match, level),
        counts.true_edge,
    )
    images = max(counts.images, 1)
    return Scores(
        areas=areas,
        edges=edges,
        f=float(counts.f_sum[level]) / images,
        accuracy=count_correct(counts, match, level) / images,
        pixel_accuracy=float(areas.shared[ALL].sum() / max(areas.true[ALL].sum(), 1)),
    )


def count_correct(counts: Counts, match: Match, level: int) -> int:
    """Count the images whose predicted object of largest area occurs in them; the lowest class on ties."""
    true_ids, pred_ids = counts.together()
    hits = int(counts.images_with(level, largest=True)[match[pred_ids] == true_ids].sum())
    for tie in counts.ties:
        if tie.level == level:
            known = [true for true in match[list(tie.pred_ids)] if true > 0]
            hits += bool(known) and min(known) in tie.true_ids
    return hits


def _shared(counts: Counts, match: Match, level: int, on_edges: bool = False) -> Int64:
    slots, true_ids, pred_ids = counts.overlap()
    hit = match[pred_ids] == true_ids
    shared = np.zeros((ALL + 1, counts.classes + 1), np.int64)
    np.add.at(shared, (slots[hit], true_ids[hit]), counts.shared(level, on_edges)[hit])
    shared[ALL, 1:] = shared[:ALL, 1:].sum(0)
    return shared


def _by_class(areas: Int64, counts: Counts, match: Match, level: int) -> Int64:
    by_class = np.zeros((ALL + 1, counts.classes + 1), np.int64)
    known = np.flatnonzero(match != UNMATCHED)
    np.add.at(by_class.T, match[known], areas[:, known, level].T)
    return by_class


def benchmark_summary(scores: Scores, with_edges: bool = True) -> dict[str, float | None]:
    """The ImageNet-S benchmark's numbers in percent; None where nothing of a size occurs.

    mIoU means over all C + 1 ids, absent ones counting 0. A size group means over the ids that occur in the group; the
    keys that end in `_all` mean over all ids instead, the convention that the published upper bounds follow.
    """
    summary: dict[str, float | None] = {"mIoU": _percent(scores.areas.iou[ALL])}
    if with_edges:
        summary["b_mIoU"] = _percent(scores.edges.iou[ALL])
    summary |= {"F": 100 * scores.f, "accuracy": 100 * scores.accuracy}
    summary |= _by_size("mIoU", scores.areas)
    return summary | (_by_size("b_mIoU", scores.edges) if with_edges else {})


def _by_size(name: str, areas: Areas) -> dict[str, float | None]:
    present = {f"{name}_{group}": _percent(areas.iou[slot][areas.true[slot] > 0]) for slot, group in enumerate(GROUPS)}
    return present | {f"{name}_{group}_all": _percent(areas.iou[slot]) for slot, group in enumerate(GROUPS)}


def pixel_summary(scores: Scores, skip_absent: bool) -> dict[str, float | None]:
    """MIoU and pixel accuracy in percent, as the pixel-count protocols report them.

    Args:
        scores: The scores.
        skip_absent: Leave out ids that occur neither in the truth nor in the prediction; otherwise they count 0.
    """
    iou, there = scores.areas.iou[ALL], scores.areas.is_present[ALL]
    return {"mIoU": _percent(iou[there] if skip_absent else iou), "pixel_accuracy": 100 * scores.pixel_accuracy}


def scene_summary(scores: Scores) -> dict[str, float | None]:
    """MIoU over the classes that occur in the truth or the prediction, and pixel accuracy, in percent.

    Source: MMSegmentation's evaluation, as ViCE uses it; there is no background.
    """
    iou, there = scores.areas.iou[ALL, 1:], scores.areas.is_present[ALL, 1:]
    return {"mIoU": _percent(iou[there]), "pixel_accuracy": 100 * scores.pixel_accuracy}


def _percent(values: Float64) -> float | None:
    return 100 * float(values.mean()) if values.size else None
