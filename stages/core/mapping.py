"""A function over all photographs: in several processes, resumable shard by shard."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap, shard_path, write_label_maps, write_shard
from stages.core.artifacts.shards import ARTIFACTS, partial_out, shard_ranges
from stages.core.cli import worker_count
from stages.core.errors import UserError
from stages.core.images.decode import UInt8
from stages.core.params import Params
from stages.core.progress import Progress
from stages.core.unfinished import unfinished_work

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
        return write_label_maps(stage, method, [])
    shards = shard_ranges(len(index))
    with unfinished_work(stage, config, {"images": index.content_hash}) as work:
        _compute_missing(shards, partial(_compute_shard, work.resolve(), index, compute, stage, method), work)
        with partial_out(ARTIFACTS / stage, "label_maps", stage, method) as out:
            for number in range(len(shards)):
                os.link(shard_path(work, number), shard_path(out, number))
    return None


def _compute_missing(shards: list[range], compute_shard: Callable[[int, range], list[str]], work: Path) -> None:
    missing = [number for number in range(len(shards)) if not shard_path(work, number).exists()]
    total = shards[-1].stop
    done = total - sum(len(shards[number]) for number in missing)
    with Progress(total, "photographs", done=done) as progress:
        for number, skipped in _in_processes(compute_shard, {number: shards[number] for number in missing}):
            for reason in skipped:
                print(f"skipped: {reason}", file=sys.stderr, flush=True)
            done += len(shards[number])
            progress.update(done)


def _in_processes(compute_shard: Callable[[int, range], list[str]], shards: dict[int, range]) -> Iterator[tuple[int, list[str]]]:
    if (len(shards) < 2 or worker_count() == 1) and "DASK_SCHEDULER_ADDRESS" not in os.environ:
        for number, rows in shards.items():
            yield number, compute_shard(number, rows)
        return
    with _executor() as executor:
        futures: dict[Future[list[str]], int] = {executor.submit(compute_shard, number, rows): number for number, rows in shards.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            executor.shutdown(wait=False, cancel_futures=True)
            raise


@contextmanager
def _executor() -> Iterator[Executor]:
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address is None:
        spawn = multiprocessing.get_context("spawn")  # forking a process that runs threads can dead-lock
        with ProcessPoolExecutor(worker_count(), mp_context=spawn, initializer=_follow_parent) as pool:
            yield pool
        return
    with _dask_client(address) as client, client.get_executor(pure=False) as executor:
        yield executor


def _dask_client(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise UserError("DASK_SCHEDULER_ADDRESS is set but Dask is not installed: pip install 'luss[dask]'") from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise UserError(f"DASK_SCHEDULER_ADDRESS={address}: no Dask scheduler answers there ({error})") from None


def _follow_parent() -> None:
    """Leave Ctrl-C to the parent, and end with it even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()


def _compute_shard(work: Path, index: ImageIndex, compute: Compute, stage: str, method: str, number: int, rows: range) -> list[str]:
    """Compute and write one shard; returns why photographs were left out."""
    maps, skipped = [], []
    for row in rows:
        photo = index[row]
        try:
            maps.append(LabelMap(photo.image_id, photo.height, photo.width, compute(index.read(row))))
        except UserError as error:
            skipped.append(str(error))
    write_shard(shard_path(work, number), maps, stage, method)
    return skipped
