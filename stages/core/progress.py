"""Progress of long work: a bar on a terminal, `[progress]` lines otherwise."""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from types import TracebackType
from typing import Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

_LINE_INTERVAL = 1.0

_open: "list[Progress]" = []

T = TypeVar("T")


class Progress:
    """Reports how much of `total` is done; not a terminal gets at most one line a second.

    The line is `[progress] done/total label note`, which the Prefect flow turns into a ring.
    """

    def __init__(self, total: int, label: str, unit: str = "images", done: int = 0, is_shown: bool = True) -> None:
        self._is_shown = is_shown
        self.total, self.label, self.unit = total, label, unit
        self._done = done
        self._start_done, self._start_time = done, time.monotonic()
        self._last_line = -_LINE_INTERVAL
        self._bar = _terminal_bar() if is_shown and sys.stderr.isatty() else None
        self._task = self._bar.add_task(label, total=total, completed=done, note="") if self._bar else None

    def update(self, done: int, note: str = "") -> None:
        """Say that `done` of `total` units are finished."""
        self._done = done
        now = time.monotonic()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, note=f"{self._rate(done, now)} {note}".strip())
        elif self._is_shown and (now - self._last_line >= _LINE_INTERVAL or done >= self.total):
            self._last_line = now
            print(f"[progress] {done}/{self.total} {self._line(done, now, note)}", file=sys.stderr, flush=True)

    def advance(self, count: int) -> None:
        """Say that some more units are finished."""
        self.update(self._done + count)

    def _line(self, done: int, now: float, note: str) -> str:
        elapsed, fresh = now - self._start_time, done - self._start_done
        left = _duration((self.total - done) * elapsed / fresh) if fresh and done < self.total else ""
        parts = [self.label, note, self._rate(done, now), f"{left} left" if left else ""]
        return " ".join(part for part in parts if part)

    def _rate(self, done: int, now: float) -> str:
        elapsed, fresh = now - self._start_time, done - self._start_done
        if elapsed <= 0.5 or not fresh:
            return ""
        rate = fresh / elapsed
        return f"{rate:.1f} {self.unit}/s" if rate >= 1 else f"{rate:.2g} {self.unit}/s"

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        _open.append(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _open.remove(self)
        if self._bar is not None:
            self._bar.stop()


def advance(count: int) -> None:
    """Say that some more units are finished of the work whose progress this process shows; nothing where it does not.

    For what runs in this process or in another one alike.
    """
    if _open:
        _open[-1].advance(count)


def track(items: Iterable[T], total: int | None = None, label: str = "", unit: str = "images") -> Iterator[T]:
    """Yield the items while reporting how many are done; `total` is needed where `len(items)` is not known."""
    size = total if total is not None else len(items) if isinstance(items, Sized) else 0
    with Progress(size, label, unit) as progress:
        for done, item in enumerate(items, start=1):
            yield item
            progress.update(done)


def _terminal_bar() -> RichProgress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    return RichProgress(*columns, console=Console(stderr=True))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
