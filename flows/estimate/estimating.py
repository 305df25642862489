"""From the times of a trial to those of a whole run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from flows.estimate.trial import StageTrial, Trial, run_trial
from flows.recipes.measuring import measure_photographs
from stages.core.data_link import data_root
from stages.core.errors import UserError


def print_estimate(sections: Mapping[str, dict[str, Any]]) -> None:
    """Try the stages, and print how long each will take on all photographs.

    Args:
        sections: The parameters of the run.

    Raises:
        UserError: The data set is no plain folder, there are too few photographs, or a stage ends with an error.
    """
    if sections["index"].get("method") != "folder":
        raise UserError("--estimate: is for folders of photographs (the data set folder)")
    photographs = measure_photographs(data_root()).photographs
    photographs = min(photographs, sections["index"]["limit"] or photographs)
    print("Trying every stage on a few photographs …", flush=True)
    start = time.monotonic()
    with TemporaryDirectory(prefix="luss-estimate-") as folder:
        trial = run_trial(sections, Path(folder))
    seconds = {stage: estimate_stage(stage, trial, sections[stage], photographs) for stage in sections}
    for stage, each in seconds.items():
        print(f"  {stage:<12} {_show(each):>12}{_show_steps(sections[stage], photographs)}")
    print(
        f"About {_show(sum(seconds.values()))} in all on this machine, from {trial.photographs} photographs and "
        f"{_show(time.monotonic() - start)} of trying. Assumed: every step and every photograph takes as long as those "
        "tried, nothing is taken from the cache, and what a stage does beside its loops takes no longer for more "
        "photographs; other work on the machine counts as it was meanwhile."
    )


def estimate_stage(stage: str, trial: Trial, section: Mapping[str, Any], photographs: int) -> float:
    """Seconds that a stage will take.

    Its loops of steps are stretched to the steps of the run and what they hold, all others to its photographs; the rest
    is taken as it is, and a training loads what the trial loaded for all.
    """
    done: StageTrial = trial.stages[stage]
    tried = trial.sections[stage]
    steps, growth = _steps(tried, trial.photographs), photographs / trial.photographs
    factor = _steps(section, photographs) * _batch(section) / (steps * _batch(tried)) if steps else growth
    in_loops = sum(loop.unit_seconds * loop.total for loop in done.loops)
    stretched = sum(loop.unit_seconds * loop.total * (factor if loop.total == steps else growth) for loop in done.loops)
    loading = trial.loading if "training" in section else 0.0
    return max(done.seconds - in_loops, 0.0) + stretched + loading


def _steps(section: Mapping[str, Any], photographs: int) -> int:
    """Of a section's training; 0 without one."""
    training = section.get("training")
    return training["epochs"] * max(photographs // training["batch_size"], 1) if training else 0


def _batch(section: Mapping[str, Any]) -> int:
    """Photographs of a step of a section's training."""
    return int(section["training"]["batch_size"])


def _show_steps(section: Mapping[str, Any], photographs: int) -> str:
    steps = _steps(section, photographs)
    return f"  {steps:,} steps" if steps else ""


def _show(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
