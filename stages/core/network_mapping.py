"""Maps photographs by a network: shards to GPUs, processes or a Dask cluster, and their photographs to threads.

A shard is the unit of work: it goes to one worker, and its file survives a kill. Within it photographs are read,
computed and encoded in threads that share the worker's network. What is computed together depends on the shard and on
the kind of device alone, so that the number of workers changes no byte.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import numpy as np
import torch

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.shards import shard_ranges
from stages.core.cli import worker_count
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.image_files import UInt8
from stages.core.images.inference import InferenceBatch, normalize
from stages.core.progress import Progress, advance
from stages.core.threads import map_in_threads

_AT_ONCE = 16
"""Photographs in one pass of a network on a GPU, where they are of one size; a processor takes one after another."""
_GPU_TURNS = threading.BoundedSemaphore(2)

Key = ParamSpec("Key")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Shard:
    """Photographs that one worker takes."""

    photographs: ImageIndex
    first: int
    """Position of the first of them among all."""
    known: Sequence[Any] = ()
    """What the stage knows of each, where it has something for a worker."""

    def __len__(self) -> int:
        return len(self.photographs)


class Look(NamedTuple):
    """How a network sees photographs."""

    prepare: Callable[[UInt8], UInt8]
    """(H, W, 3) to (h, w, 3); of one size, if photographs are."""
    expects: InputCard

    def read(self, photographs: ImageIndex, positions: list[int]) -> InferenceBatch:
        """The photographs at some positions, normalized, on the device."""
        pixels = [self.prepare(photographs.read(position)).transpose(2, 0, 1) for position in positions]
        stacked = torch.from_numpy(np.ascontiguousarray(np.stack(pixels)))
        return InferenceBatch(positions, normalize(stacked.to(inference_device()), self.expects))


Compute = Callable[[Shard, list[int]], list[Result]]
"""Picklable, called in threads; a result for each of the photographs at some positions of a shard."""


def loaded_once(load: Callable[Key, Result]) -> Callable[Key, Result]:
    """Keep the network that a function has loaded last, for all threads of the process: one loads, the others wait.

    Workers are told the hash of a model, not its weights; each reads these once, from the artifact.

    Args:
        load: Loads it onto `inference_device`; its arguments are hashable and tell the content.
    """
    lock, kept = threading.Lock(), list[tuple[object, Result]]()

    @wraps(load)
    def load_once(*args: Key.args, **kwargs: Key.kwargs) -> Result:
        key = (args, tuple(sorted(kwargs.items())), inference_device())
        with lock:
            if not kept or kept[0][0] != key:
                kept.clear()  # First: two networks may be more than memory holds.
                kept.append((key, load(*args, **kwargs)))
            return kept[0][1]

    return load_once


@contextmanager
def turn(may_differentiate: bool = False) -> Iterator[None]:
    """Compute without gradients; on a GPU when at most one other thread does, so that its memory suffices.

    Args:
        may_differentiate: Whether gradients may be asked for inside of it, by `torch.enable_grad`.
    """
    with torch.no_grad() if may_differentiate else torch.inference_mode():
        if inference_device().type == "cpu":
            yield
        else:
            with _GPU_TURNS:
                yield


def cut_shards(index: ImageIndex, at_least: int, known: Sequence[Any] = ()) -> list[Shard]:
    """Divide photographs into shards, by their number alone.

    Args:
        index: The photographs.
        at_least: Photographs of a shard; see `shard_ranges`.
        known: Of each of them, if anything.
    """
    return [
        Shard(index.take_rows(rows), rows.start, known[rows.start : rows.stop])
        for rows in shard_ranges(len(index), at_least)
    ]


def iterate_results(compute: Compute[Result], shard: Shard, at_once: int | None = None) -> Iterator[Result]:
    """What is computed of each photograph, in the shard's order, in as many threads as this process has workers.

    Args:
        compute: Called with photographs of one size, several on a GPU.
        shard: The photographs.
        at_once: Photographs of any size that it is called with; None where they must be of one.
    """
    batches = _batch_alike(shard.photographs) if at_once is None else _batch_all(len(shard), at_once)
    done = dict[int, Result]()
    following = 0
    for positions, found in zip(batches, map_in_threads(partial(compute, shard), batches, worker_count()), strict=True):
        done |= zip(positions, found, strict=True)
        while following in done:
            yield done.pop(following)
            following += 1
        advance(len(positions))


def _batch_all(count: int, at_once: int) -> list[list[int]]:
    return [list(range(count)[first : first + at_once]) for first in range(0, count, at_once)]


def _batch_alike(photographs: ImageIndex) -> list[list[int]]:
    """Positions that are computed together: of one size, at most as many as suits the device."""
    at_once = 1 if inference_device().type == "cpu" else _AT_ONCE
    by_size: dict[tuple[int, int], list[int]] = {}
    for position in range(len(photographs)):
        photo = photographs[position]
        by_size.setdefault((photo.height, photo.width), []).append(position)
    batches = [alike[first : first + at_once] for alike in by_size.values() for first in range(0, len(alike), at_once)]
    return sorted(batches)


def iterate_photographs(compute: Compute[Result], index: ImageIndex, label: str) -> Iterator[Result]:
    """What is computed of each photograph, in this process; `label` stands in the progress."""
    return iterate_known(compute, Shard(index, 0), label)


def iterate_known(compute: Compute[Result], shard: Shard, label: str) -> Iterator[Result]:
    """As `iterate_photographs`, of photographs of which something is known."""
    with Progress(len(shard), label):
        yield from iterate_results(compute, shard)
