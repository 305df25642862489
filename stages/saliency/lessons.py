"""What the student learns from: small photographs, each with the mean of the classical maps."""

from __future__ import annotations

import io
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.core.images.working_size import shrink
from stages.core.processes import in_processes
from stages.core.progress import track
from stages.saliency.maps import Image, Map, stretch
from stages.saliency.region_contrast import RegionContrastSettings, score_region_contrast
from stages.saliency.robust_background import RobustBackgroundSettings, score_robust_background

_PART = 64
_TEACHER_SIDE = 400
_RADIUS, _EDGE = 8, 60.0


class Lessons(NamedTuple):
    """N photographs at S x S pixels, whatever their shape was."""

    images: NDArray[np.uint8]
    """(N, S, S, 3) RGB."""
    targets: NDArray[np.uint8]
    """(N, S, S) saliency, 255 most salient."""


def collect_lessons(index: ImageIndex, side: int, work: Path) -> Lessons:
    """Let the teachers map all photographs of an index, in processes; parts that are there already are read instead.

    Raises:
        UserError: None of the photographs can be read.
    """
    ranges = [range(start, min(start + _PART, len(index))) for start in range(0, len(index), _PART)]
    paths = [(work / f"lessons-{number:04d}.npy").resolve() for number in range(len(ranges))]
    missing = [(path, index.part(rows)) for path, rows in zip(paths, ranges, strict=True) if not path.exists()]
    with closing(in_processes(partial(_write_part, side), missing)) as written:
        for _ in track(written, len(missing), "teachers", "parts"):
            pass
    stacked = np.concatenate([np.load(path) for path in paths])
    if not len(stacked):
        raise UserError("saliency: not one photograph to learn from can be read; run `dvc repro` from the index on")
    return Lessons(np.ascontiguousarray(stacked[..., :3]), np.ascontiguousarray(stacked[..., 3]))


def teach(image: Image) -> Map:
    """Mean (H, W) of region contrast and robust background detection, each stretched to 0..1."""
    contrast = score_region_contrast(image, RegionContrastSettings())
    background = score_robust_background(image, RobustBackgroundSettings())
    return np.asarray((stretch(contrast) + stretch(background)) / 2, np.float32)


def follow_edges(saliency: Map, image: Image) -> Map:
    """Let saliency (H, W) follow the edges of its image (H, W, 3).

    Source: He et al., "Guided Image Filtering", TPAMI 2013.
    """
    scale = max(image.shape[:2]) / 128
    radius = max(1, round(_RADIUS * scale))
    return np.asarray(cv2.ximgproc.guidedFilter(image, saliency, radius, _EDGE).clip(0, 1), np.float32)


def _write_part(side: int, task: tuple[Path, ImageIndex]) -> None:
    path, index = task
    rows = np.zeros((len(index), side, side, 4), np.uint8)
    count = 0
    for position in range(len(index)):
        try:
            image = shrink(index.read(position), _TEACHER_SIDE)
        except UserError:
            continue  # named when the maps are written
        rows[count, ..., :3] = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
        target = cv2.resize(teach(image), (side, side), interpolation=cv2.INTER_AREA)
        rows[count, ..., 3] = np.rint(target * 255)
        count += 1
    buffer = io.BytesIO()
    np.save(buffer, rows[:count])
    write_atomically(path, buffer.getvalue())
