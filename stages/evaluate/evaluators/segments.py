"""What each category covers in all predictions, gone through once: pixels, photographs, and some of them to show."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stages.core.artifacts.label_maps import LabelMaps
from stages.core.hashing import hash_bytes
from stages.core.metrics.kernels import Int64
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.evaluate.inputs import PREDICTIONS, Inputs, cut_prediction
from stages.evaluate.rules import Threshold

_CHUNK = 64
_FEW = 1024
"""Fewer photographs are counted here and now: starting processes takes seconds."""
_CRUMB = 0.01
"""Share of a photograph below which a segment is shown only if there is no larger one."""

_Rank = tuple[bool, str, str]
"""Whether it is a crumb, what it is drawn by, and the photograph."""


class Segments(NamedTuple):
    """What the categories cover; the first entry of arrays is the background."""

    areas: Int64
    """(clusters + 1,) pixels of each id."""
    photographs: Int64
    """(clusters + 1,) photographs in which it occurs."""
    drawn: list[list[str]]
    """By id, photographs to show it in, drawn by their names' hash: no category's best ones."""

    @property
    def shares(self) -> list[float]:
        """Percent of all pixels that each id covers."""
        return [100 * float(area) / max(int(self.areas.sum()), 1) for area in self.areas]


class _Part(NamedTuple):
    areas: Int64
    photographs: Int64
    ranks: list[list[_Rank]]


def survey_segments(inputs: Inputs, threshold: Threshold, shown: int) -> Segments:
    """Go through all predictions, in several processes where there are many.

    Args:
        inputs: What was read.
        threshold: Below which a pixel is background.
        shown: Photographs drawn for each category, at most.
    """
    ids = list(inputs.predictions.image_ids)
    chunks = [ids[first : first + _CHUNK] for first in range(0, len(ids), _CHUNK)]
    survey = partial(_survey_chunk, PREDICTIONS, threshold, (inputs.clusters, shown))
    total = _nothing(inputs.clusters)
    found = map_in_processes(survey, chunks) if len(ids) >= _FEW else (each for each in enumerate(map(survey, chunks)))
    with Progress(len(ids), "segments") as progress, closing(found) as parts:
        for done, (_, part) in enumerate(parts, 1):
            total.areas[:] += part.areas
            total.photographs[:] += part.photographs
            for number, ranks in enumerate(part.ranks):
                total.ranks[number][:] = sorted(total.ranks[number] + ranks)[:shown]
            progress.update(min(done * _CHUNK, len(ids)))
    return Segments(total.areas, total.photographs, [[image_id for *_, image_id in ranks] for ranks in total.ranks])


def _survey_chunk(out: Path, threshold: Threshold, sizes: tuple[int, int], image_ids: Sequence[str]) -> _Part:
    (clusters, shown), maps = sizes, LabelMaps(out)
    areas, photographs, ranks = _nothing(clusters)
    for image_id in image_ids:
        found = np.bincount(cut_prediction(maps[image_id], threshold).reshape(-1), minlength=clusters + 1)
        areas, photographs = areas + found, photographs + (found > 0)
        for number in np.flatnonzero(found[1:]) + 1:
            drawn_by = hash_bytes(f"{number} {image_id}".encode())
            ranks[number].append((bool(found[number] < _CRUMB * found.sum()), drawn_by, image_id))
    return _Part(areas, photographs, [sorted(each)[:shown] for each in ranks])


def _nothing(clusters: int) -> _Part:
    areas, photographs = np.zeros((2, clusters + 1), np.int64)
    return _Part(areas, photographs, [[] for _ in range(clusters + 1)])
