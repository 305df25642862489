"""A run of all stages in a folder of its own, on some of the photographs and with a few steps of each training."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from flows.estimate import in_one_process
from flows.workspace.monitor import read_progress
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.words import how_many
from stages.index.methods.folder import FolderConfig

STEPS = 3
"""Of each training: the first warms up, the others are timed."""
_FEWEST = 24
"""Photographs at least, and in a batch at most: a step is taken to last by the number of its photographs."""
_PROJECT = Path(__file__).resolve().parents[2]


class Loop(NamedTuple):
    """A loop of a stage, as its progress tells of it."""

    unit_seconds: float
    """Of one step or photograph, but for the first ones that were told of."""
    total: int
    """Steps or photographs."""


class StageTrial(NamedTuple):
    """What running a stage took."""

    seconds: float
    """From start to end."""
    loops: list[Loop]


class Trial(NamedTuple):
    """What the trial was, and what it took."""

    sections: dict[str, Any]
    """The parameters that it was run with."""
    photographs: int
    loading: float
    """Seconds until what trainings need was loaded, once for all stages; in a run each training loads it."""
    stages: dict[str, StageTrial]


def run_trial(sections: Mapping[str, dict[str, Any]], folder: Path) -> Trial:
    """Run every stage on real photographs of `data/`.

    Args:
        sections: The parameters to try.
        folder: Empty; takes links to photographs and what the stages write.

    Raises:
        UserError: There are too few photographs, or a stage ends with an error.
    """
    found = [photo.path for photo in FolderConfig(**sections["index"]).find().photographs]
    count = min(len(found), _photographs_needed(sections))
    if count < 2:
        raise UserError(f"--estimate: {data_root()}/ holds {how_many(count, 'photograph')}, too few to time anything")
    for number in range(count):
        path = found[number * len(found) // count]
        link = folder / "data" / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to((data_root() / path).resolve())
    tried = {stage: _shorten(section, count) for stage, section in sections.items()}
    (folder / "params.yaml").write_text(yaml.safe_dump(tried, sort_keys=False))
    trainings = [stage for stage in tried if "training" in tried[stage]]
    names = [part for stage in tried for part in ([in_one_process.LOADING] * (stage in trainings[:1]) + [stage])]
    stages = dict(_run_stages(names, folder))
    loading = stages.pop(in_one_process.LOADING).seconds if trainings else 0.0
    return Trial(tried, count, loading, stages)


def _photographs_needed(sections: Mapping[str, dict[str, Any]]) -> int:
    """Two for each cluster, and one for each that a network learns."""
    learnt: int | list[int] = sections["pretrain"].get("clusters", 0)
    return max(_FEWEST, 2 * int(sections["cluster"].get("k", 0)), *(learnt if isinstance(learnt, list) else [learnt]))


def _shorten(section: dict[str, Any], photographs: int) -> dict[str, Any]:
    """A section with few steps, whose files are found from another folder."""
    shortened: dict[str, Any] = _with_absolute_paths(section)
    if "training" in section:
        batch = min(section["training"]["batch_size"], _FEWEST)
        per_epoch = max(photographs // batch, 1)
        shortened["training"] = section["training"] | {"epochs": -(-STEPS // per_epoch), "batch_size": batch}
    return shortened


def _with_absolute_paths(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _with_absolute_paths(part) for name, part in value.items()}
    return inner | {"path": str(Path(inner["path"]).absolute())} if {"path", "sha256"} <= set(inner) else inner


def _run_stages(stages: Sequence[str], folder: Path) -> Iterator[tuple[str, StageTrial]]:
    """Run stages, and the loading among them, in one process; gives each when it has ended."""
    path = os.pathsep.join(filter(None, [str(_PROJECT), os.environ.get("PYTHONPATH", "")]))
    stage, start, told, tail = "", time.monotonic(), list[tuple[float, int, int]](), ""
    with subprocess.Popen(
        [sys.executable, "-m", in_one_process.__name__, *stages],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        for line in process.stdout or ():
            if begun := in_one_process.read_begin(line):
                if stage:
                    yield stage, StageTrial(time.monotonic() - start, _find_loops(told, start))
                stage, start, told = begun, time.monotonic(), []
            elif progress := read_progress(line):
                told.append((time.monotonic(), progress.done, progress.total))
            else:
                tail = line.strip() or tail
    if process.returncode:
        raise UserError(f"--estimate: the stage {stage} ends on {folder.name} with an error, as it would later: {tail}")
    yield stage, StageTrial(time.monotonic() - start, _find_loops(told, start))


def _find_loops(told: list[tuple[float, int, int]], start: float) -> list[Loop]:
    """Loops from what was told of them: when, how much was done, of how much. A loop begins where less is done."""
    loops: list[Loop] = []
    begun, before = 0, start
    for number, (moment, done, total) in enumerate(told):
        is_last = number + 1 == len(told) or told[number + 1][1] <= done or told[number + 1][2] != total
        if is_last:
            first_moment, first_done, _ = told[begun]
            timed = moment - first_moment, done - first_done
            # Told of once, at its end: what came before it counts as its own.
            seconds, units = timed if timed[1] else (moment - before, done)
            loops.append(Loop(seconds / max(units, 1), total))
            begun, before = number + 1, moment
    return loops
