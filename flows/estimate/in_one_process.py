"""Runs stages one after the other in one process, which loads torch once: `python -m flows.estimate.in_one_process`.

Beside what the stages print, a line tells when each begins.
"""

from __future__ import annotations

import importlib
import runpy
import sys
from collections.abc import Sequence

LOADING = "loading"
"""Stands among the stages for loading what trainings need."""
_BEGINS = "[begins] "
_LOADED = ("stages.core.engine.devices", "lightning_fabric")


def read_begin(line: str) -> str | None:
    """The stage that begins with a line, or `LOADING`; None for any other line."""
    return line.removeprefix(_BEGINS).strip() if line.startswith(_BEGINS) else None


def run_stages(stages: Sequence[str]) -> None:
    """Run stages in the current folder; the first one that fails ends the process with its exit code."""
    for stage in stages:
        print(f"{_BEGINS}{stage}", flush=True)
        if stage == LOADING:
            for module in _LOADED:
                importlib.import_module(module)
        else:
            _run_stage(stage)


def _run_stage(stage: str) -> None:
    sys.argv = [f"stages.{stage}"]
    try:
        runpy.run_module(f"stages.{stage}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    run_stages(sys.argv[1:])
