"""Watching processes from outside."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil


def wait_until(
    is_so: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120, log: Path | None = None
) -> None:
    """Wait for something that a process does; it must not end before. What it wrote to `log` is told if it does."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, f"it ended before: {_read(log)}"
        assert time.monotonic() < deadline, f"it takes too long: {_read(log)}"
        time.sleep(0.05)


def _read(log: Path | None) -> str:
    return log.read_text() if log else "no log is kept"


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Everything that a process has started, directly or not."""
    return psutil.Process(process.pid).children(recursive=True)


def live_family(pid: int) -> list[psutil.Process]:
    """The same of a process that may end meanwhile, and itself."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end_all(processes: list[psutil.Process], patience: float = 10) -> int:
    """Kill those that have not ended in time; returns how many."""
    _, alive = psutil.wait_procs(processes, timeout=patience)
    left = [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return len(left)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
