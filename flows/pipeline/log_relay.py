"""Lines that a process prints, passed on to its task's log and progress in the Prefect UI."""

from __future__ import annotations

import time

from prefect import get_run_logger

from flows.pipeline.ui_artifacts import ProgressArtifact
from flows.workspace.monitor import read_progress

_PROGRESS_IN_LOG = 30.0
"""Seconds between progress lines in the log; the UI gets them more often."""


class LogRelay:
    """Passes on the lines of one process: text to the log, progress to the UI and every 30 seconds to the log."""

    def __init__(self, name: str) -> None:
        """Relay the lines of the task `name`; create it inside that task."""
        self._log = get_run_logger()
        self._progress = ProgressArtifact(name)
        self._last = -_PROGRESS_IN_LOG

    def handle(self, line: str) -> None:
        """Pass on one line."""
        progress = read_progress(line)
        if progress is not None:
            self._progress.update(progress)
            if time.monotonic() - self._last < _PROGRESS_IN_LOG and progress.percent < 100:
                return
            self._last = time.monotonic()
        self._log.info(line)
