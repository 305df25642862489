"""Child processes: ignore signals that the parent handles, and exit when the parent is gone."""

import os
import signal
import threading
import time
from collections.abc import Callable

_POLL = 1.0
"""Seconds between looks at whether the parent is there."""


def ignore_signals() -> None:
    """Ignore SIGINT and SIGTERM in this child process: its parent, which gets them too, ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _exit_now() -> None:
    os._exit(1)


def exit_with_parent(end: Callable[[], None] = _exit_now) -> None:
    """Exit this process when its parent has ended, even by a kill.

    Args:
        end: Called then instead of exiting at once.
    """
    threading.Thread(target=_end_with, args=(os.getppid(), end), daemon=True).start()


def _end_with(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    end()
