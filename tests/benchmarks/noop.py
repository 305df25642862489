"""What doing nothing costs: `dvc repro` with nothing to do, and the start-up of every stage."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial

from rich.console import Console
from rich.table import Table

from flows.recipe import stage_names
from stages.core.errors import UserError
from tests.benchmarks.timing import alternate_wall

PEER = "python -c 'import torch, timm'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    _require_finished()
    candidates = {
        "dvc repro": partial(_python, "-m", "dvc", "repro"),
        PEER: partial(_python, "-c", "import torch, timm"),
        **{
            f"python -m stages.{stage} --help": partial(_python, "-m", f"stages.{stage}", "--help")
            for stage in stage_names()
        },
    }
    seconds = alternate_wall(candidates, args.rounds)
    table = Table("command", "seconds", title=f"median of {args.rounds} on the wall")
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.2f}")
    Console().print(table)
    return {
        "benchmark": "noop",
        "rounds": args.rounds,
        "seconds": {name: round(taken, 3) for name, taken in seconds.items()},
    }


def _require_finished() -> None:
    status = _python("-m", "dvc", "status")
    if "up to date" not in status:
        raise UserError(
            f"the pipeline is not up to date here, so `dvc repro` would do something: run it first\n{status.strip()}"
        )


def _python(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr
