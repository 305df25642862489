"""Applies a function to all photographs and stores the maps, in several processes, resumable by shard."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import ChangedPhotograph, ImageIndex, read_photo
from stages.core.artifacts.label_maps import LabelMap, shard_path, write_label_maps, write_shard
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, shard_ranges
from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.core.resume import resumable_work

Compute = Callable[[UInt8], npt.NDArray[np.generic]]
ComputeBatch = Callable[[Sequence[UInt8]], Sequence[npt.NDArray[np.generic] | UserError]]

Given = TypeVar("Given")
Result = TypeVar("Result")


def map_photos(stage: str, config: Params, index: ImageIndex, compute: Compute) -> None:
    """Write `artifacts/<stage>` with the map that `compute` makes of every photograph.

    As `map_batches`, one photograph at a time; those of which `compute` raises a `UserError` are named and left out.

    Args:
        stage: Stage that writes.
        config: Its parameters.
        index: The photographs.
        compute: Picklable; (H, W, 3) uint8 RGB to (h, w) bool, uint8 or uint16.
    """
    map_batches(stage, config, index, Batches(partial(_compute_one, compute), 1))


class Batches(NamedTuple):
    """What maps several photographs at once, for instance in one pass of a network."""

    compute: ComputeBatch
    """Picklable; photographs (H, W, 3) uint8 RGB of any sizes to as many maps (h, w) bool, uint8 or uint16, or the
    reason why there is none."""
    size: int
    """Photographs at once, at most."""


def map_batches(stage: str, config: Params, index: ImageIndex, batches: Batches) -> None:
    """Write `artifacts/<stage>` with a map of every photograph, computed in batches.

    Shards are worked on in processes of this machine (LUSS_WORKERS), or on the Dask cluster that
    DASK_SCHEDULER_ADDRESS names. Finished shards survive a kill. Neither changes the result.

    Args:
        stage: Stage that writes.
        config: Its parameters.
        index: The photographs; those that cannot be read, or have no map, are named and left out.
        batches: How they are mapped.

    Raises:
        ChangedPhotograph: A photograph is not the file that was indexed.
    """
    method = str(getattr(config, "method", stage))
    if not len(index):
        write_label_maps(stage, method, [])
        return
    shards = [index.take_rows(rows) for rows in shard_ranges(len(index))]
    with resumable_work(stage, config, {"images": index.content_hash}) as work:
        _compute_missing(shards, partial(_compute_shard, batches, stage, method), work.resolve())
        with atomic_out(ARTIFACTS / stage, "label_maps", stage, method) as out:
            for number in range(len(shards)):
                _take_over(shard_path(work, number), shard_path(out, number))


def _compute_missing(
    shards: list[ImageIndex], compute_shard: Callable[[tuple[Path, ImageIndex]], list[str]], work: Path
) -> None:
    missing = [(path, shard) for number, shard in enumerate(shards) if not (path := shard_path(work, number)).exists()]
    total = sum(map(len, shards))
    done = total - sum(len(shard) for _, shard in missing)
    with (
        Progress(total, "photographs", done=done) as progress,
        closing(map_in_processes(compute_shard, missing)) as ready,
    ):
        for position, skipped in ready:
            for reason in skipped:
                print(f"skipped: {reason}", file=sys.stderr, flush=True)
            done += len(missing[position][1])
            progress.update(done)


def _compute_shard(batches: Batches, stage: str, method: str, task: tuple[Path, ImageIndex]) -> list[str]:
    """Compute and write one shard; returns why photographs were left out."""
    path, shard = task
    skipped: list[str] = []
    write_shard(path, _compute_maps(batches, shard, skipped), stage, method)
    return skipped


def _compute_maps(batches: Batches, shard: ImageIndex, skipped: list[str]) -> Iterator[LabelMap]:
    for first in range(0, len(shard), batches.size):
        rows = range(len(shard))[first : first + batches.size]
        photos = [shard[position] for position in rows]
        read = [_try(read_photo, photo) for photo in photos]
        images = [each for each in read if not isinstance(each, UserError)]
        computed = iter(batches.compute(images) if images else ())
        for photo, image in zip(photos, read, strict=True):
            if isinstance(image, UserError):
                skipped.append(str(image))
            elif isinstance(found := next(computed), UserError):
                skipped.append(f"{photo.image_id}: {found}")
            else:
                yield LabelMap(photo.image_id, photo.height, photo.width, found)


def _compute_one(compute: Compute, images: Sequence[UInt8]) -> list[npt.NDArray[np.generic] | UserError]:
    return [_try(compute, image) for image in images]


def _try(function: Callable[[Given], Result], given: Given) -> Result | UserError:
    try:
        return function(given)
    except ChangedPhotograph:
        raise
    except UserError as error:
        return error


def _take_over(finished: Path, place: Path) -> None:
    try:
        os.link(finished, place)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(finished, place)
