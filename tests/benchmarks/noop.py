"""What doing nothing costs: `dvc repro`, and `luss run` with a server running and with a temporary one."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from flows.recipes.composing import stage_names
from stages.core.errors import UserError
from tests.benchmarks.timing import alternate_wall
from tests.project.server import prefect_server

PEER = "python -c 'import torch, timm'"
REPRO, RUN, RUN_ALONE = "dvc repro", "luss run, server running", "luss run, temporary server"
LIMITS = {REPRO: 1.5, RUN: 8.0, RUN_ALONE: 25.0}
OVERHEAD_LIMIT = 1.5
CHAIN = 8
"""Stages that do nothing, one after the other, for the cost of orchestration per stage."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each (default: %(default)s)")
    parser.add_argument("--stages", action="store_true", help="time the start of every stage too")


def run(args: argparse.Namespace) -> dict[str, object]:
    _require_finished()
    with TemporaryDirectory() as folder, prefect_server(Path(folder) / "server") as (url, _):
        alone = {"PREFECT_HOME": str(Path(folder) / "alone"), "PREFECT_API_URL": ""}
        candidates = {
            REPRO: partial(_python, "-m", "dvc", "repro"),
            RUN: partial(_python, "-m", "flows", "run", variables={"PREFECT_API_URL": url}),
            RUN_ALONE: partial(_python, "-m", "flows", "run", variables=alone),
        }
        if args.stages:
            candidates |= {
                PEER: partial(_python, "-c", "import torch, timm"),
                **{
                    f"stages.{name} --help": partial(_python, "-m", f"stages.{name}", "--help")
                    for name in stage_names()
                },
            }
        seconds = alternate_wall(candidates, args.rounds)
        overhead = measure_overhead(Path(folder) / "chain", url)
    table = Table("command", "seconds", "limit", title=f"median of {args.rounds} on the wall")
    for name, taken in seconds.items():
        table.add_row(name, f"{taken:.2f}", f"{LIMITS[name]}" if name in LIMITS else "")
    table.add_row("orchestration per stage that runs", f"{overhead:.2f}", f"{OVERHEAD_LIMIT}")
    Console().print(table)
    return {
        "benchmark": "noop",
        "rounds": args.rounds,
        "seconds": {name: round(taken, 3) for name, taken in seconds.items()},
        "overhead per stage": round(overhead, 3),
    }


def measure_overhead(folder: Path, url: str) -> float:
    """Seconds per stage that `luss run` takes beyond `dvc repro`, where every stage runs and none does anything.

    What a run costs before its first stage is taken off on both sides: a chain of one stage beside one of many.
    """
    extra = {}
    for count in (1, 1 + CHAIN):
        _write_chain(folder / str(count), count)
        timed = partial(_time, folder / str(count), variables={"PREFECT_API_URL": url})
        extra[count] = timed("-m", "flows", "run", "--force") - timed("-m", "dvc", "repro", "--force")
    return (extra[1 + CHAIN] - extra[1]) / CHAIN


def _write_chain(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    stages = "".join(
        f"  s{number}: {{cmd: echo {number} > {number}.txt, deps: [{number - 1}.txt], outs: [{number}.txt]}}\n"
        for number in range(1, count + 1)
    )
    (folder / "dvc.yaml").write_text(f"stages:\n{stages}")
    (folder / "0.txt").write_text("0")
    (folder / "params.yaml").write_text("{}")
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    _python("-m", "dvc", "init", "-q", folder=folder)
    _python("-m", "dvc", "repro", folder=folder)


def _time(folder: Path, *arguments: str, variables: Mapping[str, str]) -> float:
    start = time.perf_counter()
    _python(*arguments, folder=folder, variables=variables)
    return time.perf_counter() - start


def _require_finished() -> None:
    status = _python("-m", "dvc", "status")
    if "up to date" not in status:
        raise UserError(
            f"the pipeline is not up to date here, so `dvc repro` would do something: run it first\n{status.strip()}"
        )


def _python(*arguments: str, folder: Path | None = None, variables: Mapping[str, str] | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd()), **(variables or {})}
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)
    if done.returncode:
        raise UserError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
