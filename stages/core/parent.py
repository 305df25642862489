"""How a process that another one started leaves every decision about its end to that one."""

import os
import signal
import threading
import time
from collections.abc import Callable

_POLL = 1.0
"""Seconds between looks at whether the parent is there."""


def ignore_signals() -> None:
    """Let whoever started this process decide when it ends: a Ctrl-C in the terminal reaches both."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _exit_now() -> None:
    os._exit(1)


def exit_with_parent(end: Callable[[], None] = _exit_now) -> None:
    """End this process when whoever started it has ended, even by a kill.

    Args:
        end: What ends it.
    """
    threading.Thread(target=_end_with, args=(os.getppid(), end), daemon=True).start()


def _end_with(parent: int, end: Callable[[], None]) -> None:
    while os.getppid() == parent:
        time.sleep(_POLL)
    end()
