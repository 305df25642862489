"""Applies a function to all photographs and stores the maps, in several processes, resumable by shard."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap, shard_path, write_label_maps, write_shard
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, shard_ranges
from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.processes import map_in_processes
from stages.core.progress import Progress
from stages.core.resume import resumable_work

Compute = Callable[[UInt8], npt.NDArray[np.generic]]


def map_photos(stage: str, config: Params, index: ImageIndex, compute: Compute) -> None:
    """Write `artifacts/<stage>` with the map that `compute` makes of every photograph.

    Shards are worked on in processes of this machine (LUSS_WORKERS), or on the Dask cluster that
    DASK_SCHEDULER_ADDRESS names. Finished shards survive a kill. Neither changes the result.

    Args:
        stage: Stage that writes.
        config: Its parameters.
        index: The photographs.
        compute: Picklable; (H, W, 3) uint8 RGB to (h, w) bool, uint8 or uint16.
    """
    method = str(getattr(config, "method", stage))
    if not len(index):
        write_label_maps(stage, method, [])
        return
    shards = [index.take_rows(rows) for rows in shard_ranges(len(index))]
    with resumable_work(stage, config, {"images": index.content_hash}) as work:
        _compute_missing(shards, partial(_compute_shard, compute, stage, method), work.resolve())
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


def _compute_shard(compute: Compute, stage: str, method: str, task: tuple[Path, ImageIndex]) -> list[str]:
    """Compute and write one shard; returns why photographs were left out."""
    path, shard = task
    skipped: list[str] = []
    write_shard(path, _compute_maps(compute, shard, skipped), stage, method)
    return skipped


def _compute_maps(compute: Compute, shard: ImageIndex, skipped: list[str]) -> Iterator[LabelMap]:
    for position in range(len(shard)):
        photo = shard[position]
        try:
            found = compute(shard.read(position))
        except UserError as error:
            skipped.append(str(error))
            continue
        yield LabelMap(photo.image_id, photo.height, photo.width, found)


def _take_over(finished: Path, place: Path) -> None:
    try:
        os.link(finished, place)
    except OSError:  # another disk, or one without hard links
        shutil.copyfile(finished, place)
