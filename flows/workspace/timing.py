"""How long each stage took when it ran, remembered for stages whose results come from DVC's cache."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_TIMES = Path("logs/times")
_TOLD = re.compile(r"^(Running stage|Stage) '(\w+)'(?: (is cached|didn't change))?")


class StageSpeed(NamedTuple):
    """Time and throughput of a stage when it ran."""

    seconds: float
    images_per_second: float | None = None
    """Of a stage that trains."""


class StageTimer:
    """Reads DVC's output, records which stages run and for how long, and looks up the others' recorded times."""

    def __init__(self, keys: Mapping[str, str], logs: Path) -> None:
        """Make it.

        Args:
            keys: Name of what each stage computes.
            logs: Where the stages of this run log their speed.
        """
        self.stage_status: dict[str, str] = {}
        """`ran` or `cached`, by stage."""
        self._keys = keys
        self._logs = logs
        self._stage: str | None = None
        self._start = 0.0

    def handle(self, line: str) -> None:
        """Read a line of DVC's output."""
        if found := _TOLD.match(line):
            self.finish()
            self.stage_status[found[2]] = "cached" if found[3] else "ran"
            if not found[3]:
                self._stage, self._start = found[2], time.monotonic()

    def finish(self, succeeded: bool = True) -> None:
        """Record the time of the current stage; one that failed is not recorded."""
        if self._stage is not None and succeeded:
            path = self._path(self._stage)
            path.parent.mkdir(parents=True, exist_ok=True)
            speed = StageSpeed(round(time.monotonic() - self._start, 2), self._logged_speed(self._stage))
            path.write_text(json.dumps(speed._asdict()))
        self._stage = None

    def speeds(self) -> dict[str, StageSpeed]:
        """Speed of each stage in the run that computed its result; a stage that was never timed is missing."""
        paths = {stage: self._path(stage) for stage in self._keys}
        return {stage: StageSpeed(**json.loads(path.read_text())) for stage, path in paths.items() if path.is_file()}

    def _path(self, stage: str) -> Path:
        return _TIMES / f"{stage}-{self._keys.get(stage, 'unknown')}.json"

    def _logged_speed(self, stage: str) -> float | None:
        logs = sorted((self._logs / stage).glob("*.json"), key=lambda path: path.stat().st_mtime)
        found: float | None = json.loads(logs[-1].read_text()).get("images_per_second") if logs else None
        return found
