"""How long stages took, also those whose results come from the cache now."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_TIMES = Path("logs/times")
_TOLD = re.compile(r"^(Running stage|Stage) '(\w+)'(?: (is cached|didn't change))?")


class Speed(NamedTuple):
    """What a stage cost when it ran."""

    seconds: float
    images_per_second: float | None = None
    """Of a stage that trains."""


class StageTimer:
    """Listens to DVC and notes which stages run, and for how long; those that do not, it looks up."""

    def __init__(self, keys: Mapping[str, str], logs: Path) -> None:
        """Make it.

        Args:
            keys: Name of what each stage computes.
            logs: Where the stages of this run log their speed.
        """
        self.did: dict[str, str] = {}
        """`ran` or `cached`, by stage."""
        self._keys = keys
        self._logs = logs
        self._stage: str | None = None
        self._start = 0.0

    def handle(self, line: str) -> None:
        """Take a line of DVC."""
        if found := _TOLD.match(line):
            self.finish()
            self.did[found[2]] = "cached" if found[3] else "ran"
            if not found[3]:
                self._stage, self._start = found[2], time.monotonic()

    def finish(self, succeeded: bool = True) -> None:
        """Note what the stage that runs has taken; one that failed is not noted."""
        if self._stage is not None and succeeded:
            path = self._path(self._stage)
            path.parent.mkdir(parents=True, exist_ok=True)
            speed = Speed(round(time.monotonic() - self._start, 2), self._logged_speed(self._stage))
            path.write_text(json.dumps(speed._asdict()))
        self._stage = None

    def recall(self) -> dict[str, Speed]:
        """What each stage took, now or when it was computed; a stage that nobody has timed is missing."""
        paths = {stage: self._path(stage) for stage in self._keys}
        return {stage: Speed(**json.loads(path.read_text())) for stage, path in paths.items() if path.is_file()}

    def _path(self, stage: str) -> Path:
        return _TIMES / f"{stage}-{self._keys.get(stage, 'unknown')}.json"

    def _logged_speed(self, stage: str) -> float | None:
        logs = sorted((self._logs / stage).glob("*.json"), key=lambda path: path.stat().st_mtime)
        found: float | None = json.loads(logs[-1].read_text()).get("images_per_second") if logs else None
        return found
