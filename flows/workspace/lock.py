"""A lock that allows one run at a time per workspace, and who runs here."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from stages.core.errors import UserError

_LOCK = Path(".dvc/tmp/luss_run.lock")
_DVC_LOCK = Path(".dvc/tmp/lock")
"""What DVC holds while it works, but not while it waits for a stage."""
RWLOCK = Path(".dvc/tmp/rwlock")
"""Where DVC writes down which process reads and writes what, while a stage runs."""


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


def check_params_are_free() -> None:
    """Check before params.yaml changes that no run reads it, begun by `luss` or by DVC.

    Raises:
        UserError: One does; the message says which.
    """
    if not _LOCK.parent.is_dir():
        return
    check_workspace_is_free()
    running = [f"process {pid}: {command}" for pid, command in read_holders().items() if is_alive(pid)]
    if running or _is_held(_DVC_LOCK):
        raise UserError(
            f"a run works in this folder ({running[0] if running else 'dvc'}) and reads params.yaml from stage to "
            "stage: wait for its end, or end it with Ctrl-C where it runs; nothing was changed"
        )


def read_holders(path: Path = RWLOCK) -> dict[int, str]:
    """Commands of the processes, alive or gone, that DVC has written down as reading or writing, by their ids."""
    try:
        content: dict[str, dict[str, Any]] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    groups = [group for by_path in content.values() for group in by_path.values()]
    holders = [one for group in groups for one in (group if isinstance(group, list) else [group])]
    return {int(one["pid"]): str(one["cmd"]) for one in holders}


def is_alive(process: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _is_held(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
