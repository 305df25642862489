"""A Dask cluster as the place where work is done; one that works no more is told, and not waited for."""

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from stages.core.cli import WORKER_NUMBER
from stages.core.errors import UserError
from stages.core.hashing import hash_bytes
from stages.core.held_numbers import HeldNumber, hold_number

_PATIENCE = 10
"""Seconds in which a scheduler answers, and in which it has a worker."""


class Cluster(NamedTuple):
    """What takes work."""

    submit: Callable[..., Any]
    """Takes a function and its arguments; gives a future."""
    check: Callable[[], None]
    """Raises `UserError` when nobody works."""


@contextmanager
def dask_cluster(address: str) -> Iterator[Cluster]:
    """Work on the cluster of a scheduler; what is not begun is given up when the block is left by an error.

    Raises:
        UserError: No scheduler answers, it has no worker, or it or its workers are gone.
    """
    try:
        from distributed import Client
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise UserError("DASK_SCHEDULER_ADDRESS is set but Dask is not installed: pip install 'luss[dask]'") from None
    try:
        client = Client(address, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise UserError(f"DASK_SCHEDULER_ADDRESS={address}: no Dask scheduler answers there ({error})") from None

    def check() -> None:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise UserError(f"the Dask cluster at {address} has no worker: start one with `dask worker {address}`")

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # What went wrong is told below.
    with client:
        # Of those that come later, too.
        client.register_worker_callbacks(partial(_prepare_worker, address, _told_devices()))
        # Not as a context, which would wait for work that nobody does.
        executor = client.get_executor(pure=False)
        try:
            yield Cluster(executor.submit, check)
        except (CommClosedError, KilledWorker, CancelledError) as error:
            raise UserError(
                f"the Dask cluster at {address} has lost its scheduler or too many workers ({type(error).__name__}), "
                "most often because memory ran out; finished work is kept, the same command goes on from there"
            ) from None
        finally:
            executor.shutdown(wait=False)


def _told_devices() -> dict[str, str]:
    return {"LUSS_DEVICE": os.environ["LUSS_DEVICE"]} if os.environ.get("LUSS_DEVICE") else {}


def _prepare_worker(cluster: str, environment: Mapping[str, str]) -> None:
    """Called on each worker, by Dask; a number that it has already stays, as networks may lie on that GPU."""
    os.environ.update(environment)
    if WORKER_NUMBER not in os.environ:
        os.environ[WORKER_NUMBER] = str(_take_number(cluster))


def _take_number(cluster: str) -> int:
    """The least number that no other worker of this machine holds: workers take its GPUs in turn.

    It is held until this process ends, so that a worker that comes later, or in the place of one that was killed,
    takes a free one.
    """
    folder = Path(tempfile.gettempdir(), f"luss-workers-{os.getuid()}-{hash_bytes(cluster.encode())[:16]}")
    held = hold_number(folder)
    assert held is not None, "there is no end of numbers"
    _held.append(held)
    return held.number


_held: list[HeldNumber] = []
"""Open for as long as this process lives."""
