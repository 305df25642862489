"""A lock that allows one run at a time per workspace."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.core.errors import UserError

_LOCK = Path(".dvc/tmp/luss_run.lock")


@contextmanager
def workspace_lock() -> Iterator[None]:
    """Hold the lock of this workspace while inside; it is released even if this process is killed.

    Raises:
        UserError: Another run is here; the message says which.
    """
    _LOCK.parent.mkdir(parents=True, exist_ok=True)
    with _LOCK.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"another run works in this folder ({_LOCK.read_text().strip()}): wait for it, or end it with Ctrl-C "
                "where it runs, or cancel it in the UI"
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        lock.flush()
        yield


def check_workspace_is_free() -> None:
    """Raise what `workspace_lock` would raise."""
    with workspace_lock():
        pass
