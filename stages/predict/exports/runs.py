"""Run lengths of masks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Int64 = npt.NDArray[np.int64]


class Runs(NamedTuple):
    """Stretches of equal values in a flat array, in order."""

    starts: Int64
    lengths: Int64
    values: npt.NDArray[Any]


def find_runs(values: npt.NDArray[Any]) -> Runs:
    """The runs of a flat array."""
    if not values.size:
        return Runs(np.zeros(0, np.int64), np.zeros(0, np.int64), values)
    starts = np.concatenate([[0], np.flatnonzero(values[1:] != values[:-1]) + 1])
    return Runs(starts, np.diff(np.append(starts, values.size)), values[starts])


def runs_of_each(components: npt.NDArray[np.integer]) -> dict[int, list[tuple[int, int]]]:
    """Start and length of the runs of each id but 0 of a flat array, in order."""
    found: dict[int, list[tuple[int, int]]] = {}
    runs = find_runs(components)
    for start, length, number in zip(*(column.tolist() for column in runs), strict=True):
        if number:
            found.setdefault(number, []).append((start, length))
    return found


def count_alternately(runs: Iterable[tuple[int, int]], size: int) -> list[int]:
    """Lengths of stretches outside, inside, outside ... of an array of `size`, as COCO counts them."""
    counts, end = list[int](), 0
    for start, length in runs:
        counts += [start - end, length]
        end = start + length
    return [*counts, size - end] if end < size else counts
