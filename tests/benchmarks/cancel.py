"""Runs that are cancelled at random moments and started again: their last hashes beside those of an undisturbed run."""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
import yaml
from rich.console import Console
from rich.table import Table

from stages.core.errors import UserError
from stages.core.progress import track
from tests.project.server import prefect_server
from tests.project.workspace import Workspace

VALUES = ("pretrain.training.epochs=60", "pretrain.views.crops.0.size=96", "finetune.training.epochs=60")
"""Long enough that many rounds are cancelled in the middle of a training."""
WAYS = ("SIGINT", "SIGTERM", "in the UI")
PATIENCE = 120.0


class Round(NamedTuple):
    """One cancelled run and the run after it."""

    way: str
    after: float
    """Seconds."""
    at: str
    """What the run was at."""
    seconds_to_end: float
    left: int
    """Processes of the cancelled run that lived on."""
    is_lock_torn: bool
    is_equal: bool
    resumed: bool
    """Whether unfinished work was there for the second run."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=30, help="cancelled runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    with TemporaryDirectory() as folder, prefect_server(Path(folder) / "prefect") as (url, _):
        bench = Bench(Workspace(Path(folder) / "clone"), url)
        bench.workspace.use(*VALUES)
        bench.reset()
        start = time.monotonic()
        bench.finish()
        duration, undisturbed = time.monotonic() - start, bench.workspace.outs()
        rng = random.Random(args.seed)
        rounds = []
        for number in track(range(args.rounds), label="rounds", unit="rounds"):
            rounds.append(bench.play(WAYS[number % len(WAYS)], rng.uniform(0.5, duration), undisturbed))
            print(rounds[-1], file=sys.stderr, flush=True)
    show(rounds)
    return {
        "benchmark": "cancel",
        "rounds": len(rounds),
        "undisturbed seconds": round(duration, 1),
        "equal": sum(one.is_equal for one in rounds),
        "processes left": sum(one.left for one in rounds),
        "dvc.lock torn": sum(one.is_lock_torn for one in rounds),
        "went on from unfinished work": sum(one.resumed for one in rounds),
        "slowest end, seconds": round(max(one.seconds_to_end for one in rounds), 1),
    }


class Bench:
    """A workspace whose run is cancelled again and again."""

    def __init__(self, workspace: Workspace, url: str) -> None:
        self.workspace = workspace
        self.environment = {**workspace.environment, "PREFECT_API_URL": url, "LUSS_CHECKPOINT_SECONDS": "0.5"}
        self.log = workspace.path.parent / "log"

    def play(self, way: str, after: float, undisturbed: dict[str, dict[str, str]]) -> Round:
        """Cancel a run after some seconds, then run again; where it ended before, another one sooner."""
        self.reset()
        process = self.start()
        try:
            process.wait(after)
        except subprocess.TimeoutExpired:
            return self._cancel(process, way, after, undisturbed)
        return self.play(way, after / 2, undisturbed)

    def _cancel(self, process: subprocess.Popen[bytes], way: str, after: float, undisturbed: object) -> Round:
        family = psutil.Process(process.pid).children(recursive=True)
        at, start = self._last_line(), time.monotonic()
        self._ask_to_end(process, way)
        process.wait(PATIENCE)
        seconds = time.monotonic() - start
        _, alive = psutil.wait_procs(family, timeout=3)
        left = [child for child in alive if child.status() != psutil.STATUS_ZOMBIE]
        torn, resumed = self._mend_lock(), any((self.workspace.path / ".checkpoints").glob("*/*"))
        self.finish()
        return Round(way, after, at, seconds, len(left), torn, self.workspace.outs() == undisturbed, resumed)

    def _ask_to_end(self, process: subprocess.Popen[bytes], way: str) -> None:
        run = re.search(r"flow-run/([0-9a-f-]{36})", self.log.read_text())
        if way == "in the UI" and run:
            cancel = [sys.executable, "-m", "prefect", "flow-run", "cancel", run[1]]
            subprocess.run(cancel, env=self.environment, capture_output=True, check=False)
        else:
            process.send_signal(signal.SIGTERM if way == "SIGTERM" else signal.SIGINT)

    def reset(self) -> None:
        """As after a clone: nothing has run, and nothing can be restored."""
        self.workspace.git("checkout", "-q", "dvc.lock", "artifacts")
        (self.workspace.path / "dvc.lock").unlink()
        for folder in ("artifacts", ".checkpoints", ".dvc/cache"):
            shutil.rmtree(self.workspace.path / folder, ignore_errors=True)

    def start(self) -> subprocess.Popen[bytes]:
        with self.log.open("w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows", "run"],
                cwd=self.workspace.path,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def finish(self) -> None:
        """Run to the end."""
        if self.start().wait():
            raise UserError(f"the run failed:\n{self.log.read_text()[-3000:]}")

    def _mend_lock(self) -> bool:
        """Whether dvc.lock is torn; it is then put back as a user would do it."""
        lock = self.workspace.path / "dvc.lock"
        try:
            yaml.safe_load(lock.read_text() if lock.is_file() else "")
        except yaml.YAMLError:
            lock.unlink()
            return True
        return False

    def _last_line(self) -> str:
        lines = self.log.read_text().splitlines()
        return lines[-1].rpartition(" - ")[2][:60] if lines else "before its first line"


def show(rounds: list[Round]) -> None:
    table = Table("cancelled", "after s", "while", "ended in s", "left", "unfinished work", "lock", "same hashes")
    for one in rounds:
        cells = [one.way, f"{one.after:.1f}", one.at, f"{one.seconds_to_end:.1f}", str(one.left)]
        cells += ["kept" if one.resumed else "none", "torn" if one.is_lock_torn else "whole"]
        table.add_row(*cells, "yes" if one.is_equal else "NO")
    Console(width=150).print(table)
