"""Pixel and image counts over a set of images, by id, size group and threshold, from which all scores follow.

Pairs of ids are kept apart until the matching is known, so each PNG is read once. Only pairs that share pixels are
stored: the memory is that of the distinct pairs times the thresholds, however many images there are.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from stages.core.metrics.kernels import Histogram, Int64

GROUPS = ("S", "MS", "ML", "L")
"""Size groups of a class in an image: up to 5, 25, 50 and over 50 % of its pixels."""
ALL = len(GROUPS)
"""Slot of the counts over all pixels, behind the size groups."""

_WAITING_BYTES, _MOST_WAITING = 1 << 22, 512

Float64 = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer[Any]]


class Tie(NamedTuple):
    """Predicted ids of equal, largest area in an image; which of them counts is decided after the matching."""

    level: int
    pred_ids: tuple[int, ...]
    true_ids: tuple[int, ...]


class SparseRows:
    """Sparse matrix of integer rows by key; added rows are buffered and summed together.

    Sums are kept in few bits, since those of most pairs are small; those that need more have rows of their own.

    Args:
        shape: Of a row.
        kind: Of most numbers.
    """

    def __init__(self, shape: tuple[int, int], kind: type[np.integer[Any]]) -> None:
        self._keys: Int64 = np.empty(0, np.int64)
        self._rows: npt.NDArray[np.integer[Any]] = np.empty((0, *shape), kind)
        self._largest = int(np.iinfo(kind).max)
        self._large: dict[int, Int64] = {}
        self._waiting: list[tuple[Int64, Ints]] = []
        self._waiting_bytes = 0

    def add(self, keys: Int64, rows: Ints) -> None:
        """Add (n, *shape) rows under n keys, which may repeat."""
        self._waiting.append((keys, rows))
        self._waiting_bytes += rows.nbytes
        if len(self._waiting) > _MOST_WAITING or self._waiting_bytes > max(_WAITING_BYTES, self._rows.nbytes // 16):
            self._merge()

    def keys(self) -> Int64:
        """The sorted keys."""
        self._merge()
        return self._keys

    def column(self, place: tuple[int, int]) -> Int64:
        """The sum of each key's rows (n,) at one of their places, in the order of the keys."""
        self._merge()
        sums: Int64 = self._rows[:, place[0], place[1]].astype(np.int64)
        for key, row in self._large.items():
            sums[np.searchsorted(self._keys, key)] += row[place]
        return sums

    def add_all(self, other: Self) -> None:
        """Add all rows of another matrix."""
        other._merge()
        self.add(other._keys, other._rows)
        for key, row in other._large.items():
            self.add(np.array([key]), row[None])

    def _merge(self) -> None:
        if self._waiting:
            keys, place = np.unique(np.concatenate([keys for keys, _ in self._waiting]), return_inverse=True)
            rows = np.zeros((keys.size, *self._rows.shape[1:]), np.int64)
            np.add.at(rows, place, np.concatenate([rows for _, rows in self._waiting]))
            self._waiting, self._waiting_bytes = [], 0
            self._add_unique(keys, rows)

    def _add_unique(self, keys: Int64, rows: Int64) -> None:
        known = np.isin(keys, self._keys, assume_unique=True)
        place = np.searchsorted(self._keys, keys)
        rows[known] += self._rows[place[known]]
        for number in np.flatnonzero(rows.max((1, 2), initial=0) > self._largest):
            key = int(keys[number])
            self._large[key] = self._large.get(key, np.int64(0)) + rows[number]
            rows[number] = 0
        small = rows.astype(self._rows.dtype)
        self._rows[place[known]] = small[known]
        if not known.all():
            self._keys = np.insert(self._keys, place[~known], keys[~known])
            self._rows = np.insert(self._rows, place[~known], small[~known], axis=0)


class Counts:
    """Counts over a set of images, for `levels` thresholds at once.

    Args:
        classes: True ids are 0..classes.
        clusters: Predicted ids are 0..clusters.
        levels: Number of thresholds T.
    """

    def __init__(self, classes: int, clusters: int, levels: int = 1) -> None:
        self.classes, self.clusters, self.levels = classes, clusters, levels
        self.images = 0
        self.true_area, self.true_edge = np.zeros((2, ALL + 1, classes + 1), np.int64)
        self.pred_area, self.pred_edge = np.zeros((2, ALL + 1, clusters + 1, levels), np.int64)
        self.f_sum = np.zeros(levels)
        """Sum of the images' F scores, (T,)."""
        self.ties: list[Tie] = []
        self._overlap = SparseRows((2, levels), np.uint32)
        self._together = SparseRows((2, levels), np.uint8)

    def add_image(self, histogram: Histogram) -> None:
        """Add one image; its ids must lie in range (see `kernels.histogram`)."""
        area = histogram.pixels.sum((1, 2))
        seen = np.flatnonzero(area)
        self.images += 1
        if not seen.size:
            return
        joint, hit_edge, pred_edge = _along_thresholds(histogram, seen)
        true_ids, pred_ids, area = histogram.true_ids[seen], histogram.pred_ids, area[seen]
        slots = size_slots(true_ids, area)
        for slot in (*np.unique(slots[slots < ALL]), ALL):
            chosen = (slots == slot) | (true_ids == 0) if slot < ALL else np.ones(slots.size, bool)
            self.true_area[slot, true_ids[chosen]] += area[chosen]
            self.true_edge[slot, true_ids[chosen]] += histogram.true_edge[seen][chosen]
            self.pred_area[slot, pred_ids] += joint[chosen].sum(0)
            self.pred_edge[slot, pred_ids] += pred_edge[chosen].sum(0)
            own = chosen & ((true_ids == 0) | (slot < ALL))
            self._add_overlap(int(slot), true_ids[own], pred_ids, np.stack([joint[own], hit_edge[own]], 2))
        self._add_image_level(true_ids, pred_ids, joint)

    def _add_overlap(self, slot: int, true_ids: Int64, pred_ids: Int64, rows: Int64) -> None:
        keys = self._key(slot, true_ids[:, None], pred_ids[None])
        some = rows[:, :, 0].any(2)
        self._overlap.add(keys[some], rows[some])

    def _add_image_level(self, true_ids: Int64, pred_ids: Int64, joint: Int64) -> None:
        objects = np.flatnonzero(true_ids)
        pred_area = joint[:, 1:].sum(0)  # (P - 1, T)
        found, true_objects = pred_ids[1:], true_ids[objects]
        self.f_sum += f_score(joint[objects, 1:].sum((0, 1)), pred_area.sum(0), joint[objects].sum((0, 1)))
        if not objects.size or not found.size:
            return
        largest = (pred_area == pred_area.max(0)) & (pred_area > 0)
        for level in np.flatnonzero(largest.sum(0) > 1):
            self.ties.append(Tie(int(level), tuple(found[largest[:, level]].tolist()), tuple(true_objects.tolist())))
            largest[:, level] = False
        rows = np.stack([pred_area > 0, largest], 1).astype(np.int32)  # (P - 1, 2, T)
        some = rows[:, 0].any(1)
        keys = self._key(0, true_objects[:, None], found[None, some])
        self._together.add(
            keys.ravel(),
            np.broadcast_to(rows[some], (true_objects.size, *rows[some].shape)).reshape(-1, *rows.shape[1:]),
        )

    def _key(self, slot: int, true_ids: Int64, pred_ids: Int64) -> Int64:
        return (slot * (self.classes + 1) + true_ids) * (self.clusters + 1) + pred_ids

    def merge(self, other: Self) -> None:
        """Add the counts of further images."""
        self.images += other.images
        for name in ("true_area", "true_edge", "pred_area", "pred_edge", "f_sum"):
            getattr(self, name)[...] += getattr(other, name)
        self.ties += other.ties
        self._overlap.add_all(other._overlap)
        self._together.add_all(other._together)

    def overlap(self) -> tuple[Int64, Int64, Int64]:
        """Slots, true and predicted ids (n,) of the pairs that share pixels.

        An object's pairs stand under its size group alone, those of the true background under every slot.
        """
        rest, pred_ids = np.divmod(self._overlap.keys(), self.clusters + 1)
        slots, true_ids = np.divmod(rest, self.classes + 1)
        return slots, true_ids, pred_ids

    def shared(self, level: int = 0, on_edges: bool = False) -> Int64:
        """Pixels (n,) of the pairs of `overlap` at one threshold: all, or on both boundaries."""
        return self._overlap.column((int(on_edges), level))

    def together(self) -> tuple[Int64, Int64]:
        """True and predicted ids (n,) that co-occur in images."""
        true_ids, pred_ids = np.divmod(self._together.keys(), self.clusters + 1)
        return true_ids, pred_ids

    def images_with(self, level: int = 0, largest: bool = False) -> Int64:
        """Images (n,) with the pairs of `together` at one threshold: all, or where the predicted id is the largest."""
        return self._together.column((int(largest), level))

    def confusion(self, level: int = 0) -> Int64:
        """(clusters + 1, classes + 1) pixels by predicted and true id at one threshold."""
        slots, true_ids, pred_ids = self.overlap()
        once = (true_ids > 0) | (slots == ALL)
        matrix = np.zeros((self.clusters + 1, self.classes + 1), np.int64)
        np.add.at(matrix, (pred_ids[once], true_ids[once]), self.shared(level)[once])
        return matrix

    def cooccurrence(self, level: int = 0) -> Int64:
        """(clusters, classes) images that hold both a predicted id and a true one, background left out.

        Source: the image-level matching of the ImageNet-S benchmark.
        """
        true_ids, pred_ids = self.together()
        matrix = np.zeros((self.clusters, self.classes), np.int64)
        np.add.at(matrix, (pred_ids - 1, true_ids - 1), self.images_with(level))
        return matrix


def size_slots(true_ids: Int64, area: Int64) -> Int64:
    """Size group of each id of an image, `ALL` for the background.

    The share is rounded in float32 as the benchmark does, so that shares next to a limit fall on the same side.
    """
    share = np.float32(100) * area.astype(np.float32) / np.float32(area.sum())
    slots = np.searchsorted(np.array([5, 25, 50]), np.ceil(share))
    return np.where(true_ids == 0, ALL, slots)


def f_score(shared: Int64, pred: Int64, true: Int64) -> Float64:
    """F measure with beta^2 = 0.3 of foreground areas (any shape); 0 where it is undefined."""
    precision, recall = shared / np.maximum(pred, 1), shared / np.maximum(true, 1)
    return np.asarray(1.3 * precision * recall / np.maximum(0.3 * precision + recall, np.finfo(float).tiny))


def _along_thresholds(histogram: Histogram, seen: Int64) -> tuple[Int64, Int64, Int64]:
    """Turn counts by rank into counts by threshold, (G, P, T): all, on both boundaries, on the predicted boundary."""
    pixels = histogram.pixels[seen]
    joint = pixels[:, :, ::-1].cumsum(2)[:, :, -2::-1]
    joint[:, 0] = pixels.sum((1, 2))[:, None] - joint[:, 1:].sum(1)
    edge = histogram.foreground_edge[seen].cumsum(3)[..., :-1]
    edge[:, 0] = histogram.background_edge[seen].cumsum(2)[..., :-1]
    return joint, edge[:, :, 1], edge.sum(2)
