"""Parallel map over items in threads of one process: photographs side by side through one network.

Torch, OpenCV and zlib let other threads run while they compute, so that threads share a network's weights and need
no start, where processes would each load their own. The arithmetic of an item runs on one thread: how sums are
divided among several shows in their last bits, and the number of processors must not.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

_lock = threading.Lock()
_inside = 0
_outside_threads = 1


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """Apply a function to every item, several at once; yields the results in the items' order.

    Args:
        function: Called in several threads, each of which computes on one processor.
        items: Taken as they are needed.
        threads: Items at once; as many results again may wait for their turn.
    """
    with _one_thread_each():
        if threads == 1:
            yield from map(function, items)
            return
        with ThreadPoolExecutor(threads, initializer=partial(torch.set_num_threads, 1)) as pool:
            coming, waiting = iter(items), deque[Future[Result]]()
            try:
                waiting.extend(pool.submit(function, item) for item in islice(coming, 2 * threads))
                while waiting:
                    yield waiting.popleft().result()
                    waiting.extend(pool.submit(function, item) for item in islice(coming, 1))
            finally:
                pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let torch compute on one thread while any block like this is open in this process; then as before."""
    global _inside, _outside_threads
    with _lock:
        if not _inside:
            _outside_threads = torch.get_num_threads()
        _inside += 1
    torch.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.set_num_threads(_outside_threads)
