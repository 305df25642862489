"""Parent and child processes: who handles which signal, and children that exit when the parent is gone."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_POLL = 1.0
"""Seconds between looks at whether the parent is there."""


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM in this child process: its parent, which gets them too, ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


@contextmanager
def signal_handled_by(number: signal.Signals, handler: signal.Handlers) -> Iterator[None]:
    """Handle a signal in another way inside the block.

    Only the main thread can set a handler; in any other the block runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def _exit_now() -> None:
    os._exit(1)


def exit_with_parent(end: Callable[[], None] = _exit_now) -> None:
    """Exit this process when its parent has ended, even by a kill.

    Args:
        end: Called then instead of exiting at once.
    """
    threading.Thread(target=_end_with, args=(_find_parent(), end), daemon=True).start()


def _find_parent() -> int:
    """Number of the process that started this one, which may have ended since; multiprocessing then still knows it."""
    known = multiprocessing.parent_process()
    if known is None or known.pid is None or multiprocessing.get_start_method() == "forkserver":
        return os.getppid()
    return known.pid


def _end_with(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    end()
