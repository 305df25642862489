"""Writes checkpoints beside the training, and says when the next is due."""

import copy
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from torch import Tensor

from stages.core.engine.checkpoint import Checkpoint, save_checkpoint

SHARE = 0.005
"""Of the time that saving may take."""
SOONEST, LATEST = 30.0, 300.0
"""Seconds between checkpoints, at least and at most: what a kill may cost."""


class CheckpointWriter:
    """Writes one checkpoint at a time in a thread; the training goes on, and waits only where the last is not written.

    As a context manager it waits for the last at the end.

    Args:
        work: Where they lie.
        seconds: Between two of them; None for as many as keep what saving costs below `SHARE` of the time.
    """

    def __init__(self, work: Path, seconds: float | None = None) -> None:
        self._work, self._seconds = work, seconds
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self._cost = 0.0
        self._saved = time.monotonic()

    @property
    def interval(self) -> float:
        """Seconds from the last checkpoint to the next."""
        return self._seconds if self._seconds is not None else min(max(self._cost / SHARE, SOONEST), LATEST)

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is old.

        Raises:
            OSError: It could not be written.
        """
        if self._thread is not None and not self._thread.is_alive():
            self.wait()
        return time.monotonic() - self._saved > self.interval

    def save(self, iteration: int, content: Checkpoint) -> None:
        """Write a copy of the state after `iteration` iterations; returns when it is copied to memory of the CPU.

        Raises:
            OSError: The checkpoint before could not be written.
        """
        self.wait()
        start = time.monotonic()
        snapshot = _copy(content)
        self._thread = threading.Thread(target=self._write, args=(iteration, snapshot, start), name="checkpoint")
        self._thread.start()
        self._saved = time.monotonic()

    def wait(self) -> None:
        """Wait until the last checkpoint is written.

        Raises:
            OSError: It could not be.
        """
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def restart_clock(self) -> None:
        """Count from now; called where another process writes."""
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.wait()
        except BaseException:
            if error is None:  # Else what went wrong first is told.
                raise

    def _write(self, iteration: int, content: Checkpoint, start: float) -> None:
        try:
            save_checkpoint(self._work, iteration, content)
        except BaseException as error:  # Raised in the training's thread.
            self._error = error
        self._cost = time.monotonic() - start


def _copy(value: Any) -> Any:
    """The same with copies of all tensors, in memory of the CPU."""
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        copied: Any = copy.copy(value)
        for key, each in value.items():
            copied[key] = _copy(each)
        return copied
    return type(value)(_copy(each) for each in value) if type(value) in (list, tuple) else copy.copy(value)
