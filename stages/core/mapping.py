"""Applies a function to all photographs and stores the maps, in several processes, resumable by shard."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import ChangedPhotograph, ImageIndex, Photo, read_photo
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

Shard = TypeVar("Shard", bound=Sized)
"""Photographs, as many as its length says, and what else is known of them."""
ComputeShard = Callable[[tuple[Path, Shard]], list[str]]
"""Picklable; computes photographs and writes a shard to a path; returns why photographs were left out."""

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
        compute_shards(shards, partial(_compute_shard, batches, stage, method), work.resolve())
        with atomic_out(ARTIFACTS / stage, "label_maps", stage, method) as out:
            take_over_shards(work, out, len(shards))


def compute_shards(
    shards: Sequence[Shard], compute_shard: ComputeShard[Shard], work: Path, processes: int | None = None
) -> None:
    """Compute the shards that a folder of unfinished work lacks, in several processes or on a Dask cluster.

    Args:
        shards: The photographs of each.
        compute_shard: Writes one; its file appears only when it is whole.
        work: The folder, absolute; see `resumable_work`.
        processes: On this machine; see `map_in_processes`.
    """
    missing = [(path, shard) for number, shard in enumerate(shards) if not (path := shard_path(work, number)).exists()]
    total = sum(map(len, shards))
    done = total - sum(len(shard) for _, shard in missing)
    with (
        Progress(total, "photographs", done=done) as progress,
        closing(map_in_processes(compute_shard, missing, processes)) as ready,
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
    for photos, images in read_batches(shard, batches.size, skipped):
        for photo, found in zip(photos, batches.compute(images), strict=True):
            if isinstance(found, UserError):
                skipped.append(f"{photo.image_id}: {found}")
            else:
                yield LabelMap(photo.image_id, photo.height, photo.width, found)


def read_batches(index: ImageIndex, size: int, skipped: list[str]) -> Iterator[tuple[list[Photo], list[UInt8]]]:
    """Read photographs (H, W, 3), at most `size` at once, in the index's order; never none.

    Args:
        index: The photographs.
        size: Of a batch, at most; it is smaller where some cannot be read.
        skipped: Takes the reasons why some cannot be read.

    Raises:
        ChangedPhotograph: One is not the file that was indexed.
    """
    for first in range(0, len(index), size):
        photos = [index[position] for position in range(len(index))[first : first + size]]
        read = [(photo, _try(read_photo, photo)) for photo in photos]
        skipped += [str(image) for _, image in read if isinstance(image, UserError)]
        sound = [(photo, image) for photo, image in read if not isinstance(image, UserError)]
        if sound:
            yield [photo for photo, _ in sound], [image for _, image in sound]


def _compute_one(compute: Compute, images: Sequence[UInt8]) -> list[npt.NDArray[np.generic] | UserError]:
    return [_try(compute, image) for image in images]


def _try(function: Callable[[Given], Result], given: Given) -> Result | UserError:
    try:
        return function(given)
    except ChangedPhotograph:
        raise
    except UserError as error:
        return error


def take_over_shards(work: Path, out: Path, count: int) -> None:
    """Put finished shards of a folder of work into an artifact, without a copy where the disk allows it."""
    for number in range(count):
        _take_over(shard_path(work, number), shard_path(out, number))


def _take_over(finished: Path, place: Path) -> None:
    try:
        os.link(finished, place)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(finished, place)
