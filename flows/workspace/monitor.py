"""DVC subprocesses, read line by line, with a time limit, and all stopped together."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from flows.workspace.dvc_process import NO_VARIABLES, DVCProcess

_TAIL = 30
"""Last lines that are kept of what a process printed."""
_UNCHANGED = re.compile(r"^(Stage|Data) .*didn't change|^Data and pipelines are up to date")
_RESTORED = re.compile(r"^Stage '.*' is cached - skipping run")
_RUNNING = re.compile(r"^(Running stage|Verifying data sources)")
_CHATTER = re.compile(
    r"^(To track the changes with git|\s+git add |To enable auto staging|\s+dvc config core|Use `dvc push`)"
    r"|^(Updating|Generating) lock"
)
"""Advice of DVC after every stage."""
_PROGRESS = re.compile(r"^\[progress\] (\d+)/(\d+) ?(.*)")


class Progress(NamedTuple):
    """A progress line of a stage."""

    done: int
    total: int
    text: str

    @property
    def percent(self) -> float:
        """How much is done, from 0 to 100."""
        return min(100.0, 100 * self.done / self.total) if self.total else 0.0


class Outcome(NamedTuple):
    """How a process ended."""

    status: str
    """`unchanged`, `restored` or `ran` in DVC's own words; `failed`, `late` (over its time limit) or `stopped`."""
    tail: str = ""
    """The last lines that it printed."""

    @property
    def has_succeeded(self) -> bool:
        """Whether the outputs of the stage exist."""
        return self.status in ("unchanged", "restored", "ran")


def read_progress(line: str) -> Progress | None:
    """Parse a progress line of a stage; None for any other line."""
    found = _PROGRESS.match(line)
    return Progress(int(found[1]), int(found[2]), found[3]) if found else None


class ProcessMonitor:
    """The DVC processes of one run: `follow` runs one to its end, `stop` ends all and lets no further one start."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[DVCProcess] = set()
        self._is_stopped = False

    @property
    def is_stopped(self) -> bool:
        """Whether the run was cancelled."""
        return self._is_stopped

    def follow(
        self,
        arguments: Sequence[str],
        on_line: Callable[[str], None],
        time_limit: float | None = None,
        environment: Mapping[str, str] = NO_VARIABLES,
    ) -> Outcome:
        """Run `dvc ARGUMENTS`, hand on each line as it comes, and say how it ended.

        Args:
            arguments: Of dvc.
            on_line: Is called with every line, progress lines too.
            time_limit: Seconds after which the process is ended with everything below it.
            environment: Variables beside those of this process.
        """
        with self._lock:
            if self._is_stopped:
                return Outcome("stopped")
            process = DVCProcess(arguments, subprocess.PIPE, environment)
            self._running.add(process)
        try:
            return self._read(process, on_line, time_limit)
        finally:
            with self._lock:
                self._running.discard(process)

    def _read(self, process: DVCProcess, on_line: Callable[[str], None], time_limit: float | None) -> Outcome:
        late = threading.Event()

        def end_late() -> None:
            late.set()
            process.stop()

        watchdog = threading.Timer(time_limit or 0, end_late)
        watchdog.daemon = True
        if time_limit:
            watchdog.start()
        lines: deque[str] = deque(maxlen=_TAIL)
        status = "ran"
        for line in map(str.rstrip, process.output or ()):
            status = _status(line) or status
            if not line or _CHATTER.match(line):
                continue
            if read_progress(line) is None:
                lines.append(line)
            on_line(line)
        code = process.wait()
        process.close()
        watchdog.cancel()
        failed = "late" if late.is_set() else "stopped" if self._is_stopped else "failed"
        return Outcome(failed if code else status, "\n".join(lines))

    def stop(self) -> None:
        """End every process with all that it started; returns when they are gone. A Ctrl-C meanwhile hastens it."""
        with self._lock:
            self._is_stopped = True
            running = list(self._running)
        enders = [threading.Thread(target=process.stop) for process in running]
        for ender in enders:
            ender.start()
        for ender in enders:
            _join(ender, running)


def _join(ender: threading.Thread, running: Sequence[DVCProcess]) -> None:
    while ender.is_alive():
        try:
            ender.join(0.2)
        except KeyboardInterrupt:
            for process in running:
                process.kill()


def _status(line: str) -> str | None:
    if _UNCHANGED.match(line):
        return "unchanged"
    if _RESTORED.match(line):
        return "restored"
    return "ran" if _RUNNING.match(line) else None
