"""What a process says, handed on to the log and to the ring of its task."""

from __future__ import annotations

import time

from prefect import get_run_logger

from flows.pipeline.ui_artifacts import ProgressRing
from flows.workspace.monitor import read_progress

_PROGRESS_IN_LOG = 30.0
"""Seconds between progress lines in the log; the ring moves more often."""


class LogRelay:
    """Hands lines on: text to the log, progress to a ring in the UI and now and then to the log."""

    def __init__(self, name: str) -> None:
        """Listen for the task `name`; call it inside that task."""
        self._log = get_run_logger()
        self._ring = ProgressRing(name)
        self._last = -_PROGRESS_IN_LOG

    def handle(self, line: str) -> None:
        """Take one line."""
        progress = read_progress(line)
        if progress is not None:
            self._ring.show(progress)
            if time.monotonic() - self._last < _PROGRESS_IN_LOG and progress.percent < 100:
                return
            self._last = time.monotonic()
        self._log.info(line)
