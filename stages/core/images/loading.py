"""A data loader with worker processes that never hangs: a worker that dies ends in a clear message."""

import atexit
import multiprocessing
import os
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils.data import DataLoader, Dataset

from stages.core.cli import worker_count
from stages.core.errors import UserError
from stages.core.images.packed_batch import Packed, collate, pack
from stages.core.parent import exit_with_parent, ignore_signals, signal_handled_by

_MAX_LOADERS = 16
_FILES_OF_EACH = 16
"""Pipes of a process, and the batches that it hands over."""

Options = dict[str, Any]
"""Of torch's loader."""


class Batches(Sized, Protocol):
    """Any sized iterable of batches, each a list of keys."""

    def __iter__(self) -> Iterator[list[Any]]: ...


def load(dataset: Dataset[Any], batches: Batches, prefetch: int, pin_memory: bool = False) -> Iterator[Any]:
    """Yield batches, collated, in the order given; LUSS_WORKERS - 1 processes beside this one make them.

    Args:
        dataset: Makes an item of tensors and arrays of a key.
        batches: What is asked of it.
        prefetch: Batches that each process makes ahead.
        pin_memory: Whether the batches go to a GPU.

    Raises:
        UserError: The data set raised it; or a process was ended from outside, or has no room in shared memory.
    """
    workers = min(worker_count() - 1, _MAX_LOADERS, len(batches))
    # A loader draws a seed when it starts: from its own generator, or a resumed run would see other random numbers.
    options: Options = {"batch_sampler": batches, "pin_memory": pin_memory, "generator": torch.Generator()}
    if not workers:
        yield from DataLoader(dataset, collate_fn=collate, **options)
        return
    options |= {
        "num_workers": workers,
        "prefetch_factor": prefetch,
        "worker_init_fn": _init_worker,
        "collate_fn": _identity,
    }
    _check_open_files(workers)
    with _iterating(_Making(dataset), options) as made:
        yield from map(_unpack, made)


def _check_open_files(workers: int) -> None:
    """Torch's loader, half made when no more files can be opened, would print a traceback when it is deleted."""
    allowed, opened = resource.getrlimit(resource.RLIMIT_NOFILE)[0], len(os.listdir("/dev/fd"))
    if 0 <= allowed < (needed := opened + _FILES_OF_EACH * workers):
        raise UserError(
            f"{workers} processes that load photographs open {needed} files and {allowed} are allowed: raise the limit "
            "(`ulimit -n`) or set LUSS_WORKERS lower"
        )


def _not_started(error: OSError) -> UserError:
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    error.__traceback__ = None  # torch's loader, half made, goes with it, and would print a traceback of its own.
    sys.unraisablehook = hook
    return UserError(
        f"processes that load photographs cannot start ({error.strerror}): enlarge /dev/shm (docker run "
        "--shm-size=8g) or the limits of `ulimit`, or set LUSS_WORKERS=1"
    )


class _Made(NamedTuple):
    """What became of a batch in another process."""

    packed: Packed | None = None
    error: Exception | None = None
    """Raised in place of the batch."""

    def pin_memory(self) -> "_Made":
        """See `torch.utils.data`: called in a thread, beside the one that asks for batches."""
        return _Made(error=self.error) if self.packed is None else _attempt(self.packed.pinned)


def _attempt(hand_over: Callable[[], Packed]) -> _Made:
    try:
        return _Made(hand_over())
    except (OSError, RuntimeError) as error:
        return _Made(error=_not_handed_over(error))


def _not_handed_over(error: Exception) -> UserError:
    return UserError(
        f"a process that loads photographs cannot hand over a batch ({error}): enlarge /dev/shm (docker run "
        "--shm-size=8g) or the limit of `ulimit -n`, or set LUSS_WORKERS=1"
    )


class _Making(Dataset[_Made]):
    """Makes whole batches of a data set's items."""

    def __init__(self, dataset: Dataset[Any]) -> None:
        self._dataset = dataset

    def __getitems__(self, keys: list[Any]) -> _Made:
        try:
            batch = collate([self._dataset[key] for key in keys])
        except (UserError, OSError, MemoryError) as error:
            return _Made(error=error)  # torch would raise another one, of a traceback as text.
        return _attempt(lambda: pack(batch))


def _unpack(made: _Made) -> Any:
    if made.packed is None:
        raise made.error or AssertionError("neither a batch nor an error")
    try:
        return made.packed.unpack()
    except (OSError, RuntimeError) as error:
        raise _not_handed_over(error) from None


def _identity(made: Any) -> Any:
    return made


def _init_worker(_: int) -> None:
    ignore_signals()
    exit_with_parent()


@contextmanager
def _iterating(making: _Making, options: Options) -> Iterator[Iterator[Any]]:
    """Iterates in processes that end with the block, or with this process if that comes first."""
    before = multiprocessing.active_children()
    started: list[BaseProcess] = []

    def end() -> None:
        # Torch's own handler would raise an error because a loading process has ended.
        with signal_handled_by(signal.SIGCHLD, signal.SIG_DFL):
            _kill(started)

    atexit.register(end)
    try:
        try:
            with warnings.catch_warnings():
                # The number of processes is the user's choice.
                warnings.filterwarnings("ignore", message="This DataLoader will create")
                made = iter(DataLoader(making, **options))
        except OSError as error:
            raise _not_started(error) from None
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
