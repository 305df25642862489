"""Batches made in other processes: whatever becomes of these, loading has an end, and a message that says why."""

import atexit
import multiprocessing
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from stages.core.cli import worker_count
from stages.core.errors import UserError
from stages.core.images.handover import Packed, collate, pack
from stages.core.parent import follow_parent, leave_signals_to_parent

_MAX_LOADERS = 16

Options = dict[str, Any]
"""Of torch's loader."""


class Batches(Sized, Protocol):
    """Lists of keys, each of them a batch."""

    def __iter__(self) -> Iterator[list[Any]]:
        """The same at every call."""
        ...


def load(dataset: Dataset[Any], batches: Batches, prefetch: int, pin_memory: bool = False) -> Iterator[Any]:
    """Yield batches, collated, in the order given; LUSS_WORKERS - 1 processes beside this one make them.

    What they cannot hand over, because shared memory is full or no more files can be opened, this process makes.

    Args:
        dataset: Makes an item of tensors and arrays of a key.
        batches: What is asked of it.
        prefetch: Batches that each process makes ahead.
        pin_memory: Whether the batches go to a GPU.

    Raises:
        UserError: The data set raised it, or a process was ended from outside.
    """
    workers = min(worker_count() - 1, _MAX_LOADERS, len(batches))
    making = _Making(dataset)
    # A loader draws a seed when it starts: from its own generator, or a resumed run would see other random numbers.
    options: Options = {"batch_sampler": batches, "pin_memory": pin_memory, "generator": torch.Generator()}
    if not workers:
        yield from DataLoader(dataset, collate_fn=collate, **options)
        return
    options |= {"num_workers": workers, "prefetch_factor": prefetch, "worker_init_fn": _begin, "collate_fn": _as_it_is}
    with _iterating(making, options) as made:
        yield from _unpack(zip(batches, made, strict=False), making)


class _Made(NamedTuple):
    """What became of a batch in another process."""

    packed: Packed | None = None
    error: Exception | None = None
    """Raised in place of the batch."""
    obstacle: str = ""
    """Why it could not be handed over."""

    def pin_memory(self) -> "_Made":
        """See `torch.utils.data`: called in a thread, beside the one that asks for batches."""
        try:
            return self._replace(packed=self.packed.pinned()) if self.packed else self
        except (OSError, RuntimeError) as error:
            return self._replace(packed=None, obstacle=str(error))


class _Making(Dataset[_Made]):
    """Makes whole batches of a data set's items."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def make(self, keys: list[Any]) -> Any:
        return collate([self._dataset[key] for key in keys])

    def __getitems__(self, keys: list[Any]) -> _Made:
        try:
            batch = self.make(keys)
        except (UserError, OSError, MemoryError) as error:
            return _Made(error=error)  # torch would raise another one, of a traceback as text.
        try:
            return _Made(pack(batch))
        except (OSError, RuntimeError) as error:
            return _Made(obstacle=str(error))


def _unpack(all_made: Iterable[tuple[list[Any], _Made]], making: _Making) -> Iterator[Any]:
    has_told = False
    for keys, (packed, error, obstacle) in all_made:
        if error is not None:
            raise error
        try:
            if packed is not None:
                yield packed.unpack()
                continue
        except (OSError, RuntimeError) as trouble:
            obstacle = str(trouble)
        if not has_told:
            _tell(obstacle)
            has_told = True
        yield making.make(keys)


def _tell(obstacle: str) -> None:
    print(
        f"photographs are loaded slowly, in this process: no other can hand over a batch ({obstacle.strip()}). Enlarge "
        "/dev/shm (docker run --shm-size=8g) or the limit of `ulimit -n`, or set LUSS_WORKERS lower",
        file=sys.stderr,
        flush=True,
    )


def _as_it_is(made: Any) -> Any:
    return made


def _begin(_: int) -> None:
    leave_signals_to_parent()
    follow_parent()


@contextmanager
def _iterating(making: _Making, options: Options) -> Iterator[Iterator[Any]]:
    """Iterates in processes that end with the block, or with this process if that comes first."""
    before = multiprocessing.active_children()
    started: list[BaseProcess] = []

    def end() -> None:
        with _deaths_unnoticed():
            _kill(started)

    atexit.register(end)
    try:
        try:
            with warnings.catch_warnings():
                # The number of processes is the user's choice.
                warnings.filterwarnings("ignore", message="This DataLoader will create")
                made = iter(DataLoader(making, **options))
        finally:
            started += [process for process in multiprocessing.active_children() if process not in before]
        yield made
    finally:
        end()
        atexit.unregister(end)


def _kill(processes: list[BaseProcess]) -> None:
    # They ignore the signal that multiprocessing sends at exit and then waits for.
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


@contextmanager
def _deaths_unnoticed() -> Iterator[None]:
    """Keep torch from raising an error because one of its loading processes has ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGCHLD, handler)
