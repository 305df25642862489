"""Watching processes from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import psutil


def wait_until(is_so: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait for something that a process does; it must not end before."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, "it ended before"
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.05)


def family(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Everything that a process has started, directly or not."""
    return psutil.Process(process.pid).children(recursive=True)


def assert_gone(processes: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(processes, timeout=5)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
