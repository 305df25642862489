"""`luss demo`: from nothing to a scored report."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from flows.recipes.composing import Recipe, write_params
from flows.workspace.data_names import check_names
from flows.workspace.dvc_process import INTERRUPTED, check_workspace, run_dvc
from flows.workspace.linked_data import check_linked_data
from flows.workspace.scores import MAIN_SCORES, SPLITS
from stages.core.config.params import PARAMS_FILE
from stages.core.errors import UserError
from stages.core.fingerprint import refresh_fingerprints

DATA = Path("data")
RESULTS = Path("artifacts/evaluate")

_RECIPE = Recipe("luss", "sample")


def run_demo() -> int:
    """Run the pipeline and print its scores; returns the exit status."""
    check_workspace()
    check_names()
    check_linked_data()
    _provide_params()
    refresh_fingerprints()
    _provide_data()
    if status := run_dvc(["repro"]):
        _explain(status)
        return status if status == INTERRUPTED else 1
    _report(json.loads((RESULTS / "metrics.json").read_text()))
    return 0


def write_sample_data(force: bool, train_masks: bool = False) -> int:
    """Write the sample to data/ and tell DVC, so that `dvc status` finds what data.dvc says; returns the exit status.

    Args:
        force: Rename a data/ that holds something else instead of refusing.
        train_masks: Write the masks of train too.
    """
    from flows.sample.__main__ import main as write

    check_workspace()
    options = ["--force"] * force + ["--train-masks"] * train_masks
    return write(options) or run_dvc(["commit", "--quiet", "--force", "data.dvc"])


def _provide_params() -> None:
    if not PARAMS_FILE.exists():
        write_params(_RECIPE)
        print(f"Wrote {PARAMS_FILE}: {_RECIPE.command}", flush=True)


def _provide_data() -> None:
    if DATA.exists():
        return
    if not _is_for_sample():
        raise UserError(
            f"{DATA}/ is missing, and {PARAMS_FILE} is not for the built-in sample: put photographs into {DATA}/, "
            f"or run `{_RECIPE.command}` and this command again"
        )
    from flows.sample import write_sample

    print(f"Drawing the built-in sample into {DATA}/ …", flush=True)
    write_sample(DATA)


def _is_for_sample() -> bool:
    first = PARAMS_FILE.read_text().partition("\n")[0].split()
    return not first or first[0] != "#" or _RECIPE.dataset in first


def _explain(status: int) -> None:
    if status == INTERRUPTED:
        print("\nStopped. `luss demo` or `dvc repro` goes on from where it was.", file=sys.stderr)
    else:
        print(
            "\nThe pipeline stopped: the message above says at which stage and why. `dvc repro` goes on from there.",
            file=sys.stderr,
        )


def _report(metrics: dict[str, Any]) -> None:
    splits = [split for split in SPLITS if metrics.get(split)]
    Console().print(score_table({split: metrics[split] for split in splits}))
    if "mIoU" in metrics.get("test", {}):
        print("For comparison, without any learning:", flush=True)
        subprocess.run([sys.executable, "-m", "stages.evaluate.tools.baselines"], check=False)
    print(f"Report with pictures: {RESULTS / 'report.html'}")


def score_table(scores: dict[str, dict[str, Any]]) -> Table:
    """One row per main score, one column per split; a score that a split does not have stays empty."""
    table = Table("in percent", *scores, title="Scores")
    for name in MAIN_SCORES:
        row = [values.get(name) for values in scores.values()]
        if any(value is not None for value in row):
            table.add_row(name, *("" if value is None else f"{value:.1f}" for value in row))
    return table
