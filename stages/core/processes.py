"""Parallel map over items, in processes of this machine or on a Dask cluster."""

import multiprocessing
import os
import pickle
import signal
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any, Generic, TypeVar

import cv2
from threadpoolctl import threadpool_limits

from stages.core.cli import WORKER_NUMBER, sharing_workers, worker_count
from stages.core.dask_cluster import Cluster, dask_cluster
from stages.core.errors import UserError
from stages.core.parent import exit_with_parent, signal_handled_by

_MOST_WAITING = 1024
"""Items that are given out and not yet taken back: memory must not grow with their number, nor a cluster run dry."""

_LOOK = 20.0
"""Seconds between two looks at whether anybody still works."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], processes: int | None = None
) -> Generator[tuple[int, Result], None, None]:
    """Apply a function to every item; yields the item's position and the result as they get ready, in any order.

    Runs in processes of this machine, or on the Dask cluster that DASK_SCHEDULER_ADDRESS names; arithmetic runs on one
    thread. Inside the function `worker_count` is the threads that it may use: its process's share of LUSS_WORKERS, and
    one on a cluster, whose workers have threads of their own. Close the iterator (`contextlib.closing`) so that the
    processes end with it. They also end when this process is killed.

    Args:
        function: Picklable, as are the items and results; a process restores it once for all its items, so that what
            it opens or builds (artifacts, networks) is there for the next.
        items: Few and large; each is one message to a process.
        processes: On this machine; by default LUSS_WORKERS. With one the function runs in this process.

    Raises:
        UserError: A process was ended from outside, or there is no such cluster, or it works no more.
    """
    count, is_here = min(processes or worker_count(), len(items)), "DASK_SCHEDULER_ADDRESS" not in os.environ
    here = partial(_work, function, worker_count() // max(count, 1))
    work = _RestoredOnce(here if is_here else partial(_work_on_cluster, function))
    if count < 2 and is_here:
        yield from enumerate(map(work, items))
        return
    with _executor(count) as cluster:
        waiting: dict[Future[Result], int] = {}
        for position, item in enumerate(items):
            # This starts the processes; what they inherit leaves Ctrl-C to this one.
            with signal_handled_by(signal.SIGINT, signal.SIG_IGN):
                waiting[cluster.submit(work, item)] = position
            if len(waiting) >= _MOST_WAITING:
                yield from _take_finished(waiting, cluster.check)
        while waiting:
            yield from _take_finished(waiting, cluster.check)


class _RestoredOnce(Generic[Item, Result]):
    """A function that goes along with every item, but is restored once by each process (or thread) that it gets to."""

    def __init__(self, function: Callable[[Item], Result]) -> None:
        self._function, self._token = function, uuid.uuid4().hex

    def __call__(self, item: Item) -> Result:
        return self._function(item)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, bytes]]:
        return _restore, (self._token, self._pickled)

    @cached_property
    def _pickled(self) -> bytes:
        return pickle.dumps(self._function)


_restored = threading.local()


def _restore(token: str, pickled: bytes) -> "_RestoredOnce[Any, Any]":
    if getattr(_restored, "token", None) != token:
        _restored.function, _restored.token = _RestoredOnce(pickle.loads(pickled)), token
    function: _RestoredOnce[Any, Any] = _restored.function
    return function


def _take_finished(waiting: dict[Future[Result], int], check: Callable[[], None]) -> Iterator[tuple[int, Result]]:
    while not (done := wait(waiting, timeout=_LOOK, return_when=FIRST_COMPLETED).done):
        check()
    for future in done:
        yield waiting.pop(future), future.result()


def _work(function: Callable[[Item], Result], share: int, item: Item) -> Result:
    """Apply a function with a share of the workers, without the thread pools of OpenCV, BLAS and OpenMP."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1), sharing_workers(share):
            return function(item)
    finally:
        cv2.setNumThreads(threads)


def _work_on_cluster(function: Callable[[Item], Result], item: Item) -> Result:
    """The same in a worker whose threads work side by side: what one of them restored, others would still count on."""
    cv2.setNumThreads(1)
    threadpool_limits(1)
    with sharing_workers(1):
        return function(item)


@contextmanager
def _executor(workers: int) -> Iterator[Cluster]:
    address = os.environ.get("DASK_SCHEDULER_ADDRESS")
    if address is None:
        with _local_pool(workers) as pool:
            yield Cluster(pool.submit, lambda: None)  # A pool notices by itself that a process is gone.
    else:
        with dask_cluster(address) as cluster:
            yield cluster


@contextmanager
def _local_pool(workers: int) -> Iterator[Executor]:
    before = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")  # forking a process that runs threads can dead-lock
    with ProcessPoolExecutor(workers, spawn, _start_worker, (spawn.Value("i", 0),)) as pool:
        try:
            yield pool
        except BrokenProcessPool:
            raise UserError(
                f"one of {workers} worker processes was ended from outside, most often because memory ran out; "
                "set LUSS_WORKERS lower"
            ) from None
        except BaseException:
            # Not to wait for work that nobody wants any more.
            for worker in set(multiprocessing.active_children()) - before:
                worker.terminate()
            pool.shutdown(cancel_futures=True)
            raise


def _start_worker(started: Any) -> None:
    """Begin a process, with its number among those that were started."""
    with started.get_lock():
        os.environ[WORKER_NUMBER] = str(started.value)
        started.value += 1
    exit_with_parent()
