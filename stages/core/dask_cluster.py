"""A Dask cluster as the place where work is done; one that works no more is told, and not waited for."""

import logging
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from typing import Any, NamedTuple

from stages.core.cli import WORKER_NUMBER
from stages.core.errors import UserError

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
        client.run(_prepare_worker, _number_workers(client.scheduler_info(n_workers=-1)["workers"]), _told_devices())
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


def _number_workers(workers: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """By address, which of its machine's workers each is: they take its GPUs in turn."""
    by_host: dict[str, list[str]] = defaultdict(list)
    for address in sorted(workers):
        by_host[str(workers[address]["host"])].append(address)
    return {address: number for addresses in by_host.values() for number, address in enumerate(addresses)}


def _told_devices() -> dict[str, str]:
    return {"LUSS_DEVICE": os.environ["LUSS_DEVICE"]} if os.environ.get("LUSS_DEVICE") else {}


def _prepare_worker(numbers: Mapping[str, int], environment: Mapping[str, str], dask_worker: Any) -> None:
    """Called on each worker, by Dask; a number that it has already stays, as networks may lie on that GPU."""
    os.environ.setdefault(WORKER_NUMBER, str(numbers.get(dask_worker.address, 0)))
    os.environ.update(environment)
