"""Runs disturbed by kills, full disks and limits: nothing may be lost, differ, hang or show a traceback.

Every round takes a finished project of a recipe, makes a part of its stages unfinished, starts them, disturbs them at a
random moment, and runs them to the end. A campaign that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from flows.recipes.composing import Recipe, compose
from stages.core.errors import UserError
from stages.core.progress import track
from tests.benchmarks.disturbances import DISTURBANCES, Disturbance, Run, enter_small_disk, is_small_disk
from tests.project.processes import end_all
from tests.project.rooms import ROOT
from tests.project.workspace import Workspace

RECIPES = ("swav", "luss", "pass", "maskcontrast", "vice")
"""Each method that trains a network, with what its recipe does before and after."""
SHARED = ("shared.classes=3", "shared.view_size=32", "shared.resize=48", "shared.crop=48")
PATIENCE = 60.0
"""Seconds in which nothing is said, after which a run counts as hung."""


@dataclass
class Round:
    """One disturbed run and the run after it."""

    number: int
    recipe: str
    disturbance: str
    command: str
    first: str
    """The first stage that was made unfinished."""
    after: float
    """Seconds from the start of a stage to the disturbance."""
    at: str = ""
    """The stage."""
    status: int | None = None
    """Exit status of the disturbed run; none if it hung."""
    tracebacks: int = 0
    left: int = 0
    """Processes that lived on."""
    lost: int = 0
    """Artifacts that the run after it did not bring back."""
    differing: int = 0
    """Artifacts of other bytes than those of a run left alone."""
    is_lock_torn: bool = False
    said: str = ""
    """The last line of the disturbed run."""

    @property
    def is_hung(self) -> bool:
        return self.status is None and not self.said.startswith("not tried")

    @property
    def is_clean(self) -> bool:
        return not (self.is_hung or self.tracebacks or self.left or self.lost or self.differing)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=100, help="disturbed runs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of what happens when (default: %(default)s)")
    parser.add_argument("--folder", type=Path, default=Path(".checkpoints/campaign"), help="of projects and results")


def run(args: argparse.Namespace) -> dict[str, object]:
    projects, record = args.folder.absolute() / "projects", args.folder.absolute() / f"rounds-{args.seed}.jsonl"
    projects.mkdir(parents=True, exist_ok=True)
    if not is_small_disk(projects):
        enter_small_disk(projects)
    benches: dict[str, Bench] = {}
    record.touch()
    rounds = [Round(**json.loads(line)) for line in record.read_text().splitlines()]
    for number in track(range(args.rounds), label="rounds", unit="rounds"):
        if number < len(rounds):
            continue
        recipe = RECIPES[number // len(DISTURBANCES) % len(RECIPES)]
        if recipe not in benches:
            benches[recipe] = Bench(projects / recipe, recipe, args.data)
        rounds.append(benches[recipe].play(number, random.Random(f"{args.seed} {number}")))
        with record.open("a") as out:
            out.write(json.dumps(asdict(rounds[-1])) + "\n")
        print(rounds[-1], file=sys.stderr, flush=True)
    return report(rounds[: args.rounds])


class Bench:
    """A finished project, of which a part is run again and again."""

    def __init__(self, path: Path, recipe: str, photographs: Path | None = None) -> None:
        self.recipe = recipe
        self.workspace, self._finished = Workspace.__new__(Workspace), path / "finished.json"
        self.workspace.path = path / "project"
        if not self._finished.exists():
            shutil.rmtree(path, ignore_errors=True)
            self._finish_alone(photographs)
        told = json.loads(self._finished.read_text())
        self.undisturbed, self.seconds, self.lock = told["outs"], told["seconds"], told["lock"]
        self.stages = self.first_stages = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])

    @classmethod
    def of(cls, workspace: Workspace, seconds: float) -> Bench:
        """Of a project that is finished already, whose run took so long."""
        bench = cls.__new__(cls)
        bench.recipe, bench.workspace, bench.seconds = "tiny", workspace, seconds
        bench.undisturbed, bench.lock = workspace.outs(), (workspace.path / "dvc.lock").read_text()
        bench.stages = bench.first_stages = list(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
        return bench

    def _finish_alone(self, photographs: Path | None) -> None:
        self.workspace = Workspace(self.workspace.path)
        if photographs is not None:
            shutil.rmtree(self.workspace.path / "data")
            shutil.copytree(photographs, self.workspace.path / "data")
        used = self.workspace.run("-m", "flows", "use", self.recipe, "sample", *small_values(self.recipe))
        start = time.monotonic()
        done = self.workspace.run("-m", "dvc", "repro")
        if used.returncode or done.returncode:
            raise UserError(f"{self.recipe}: the undisturbed run failed:\n{used.stdout}{done.stdout[-2000:]}")
        lock = (self.workspace.path / "dvc.lock").read_text()
        told = {"outs": self.workspace.outs(), "seconds": time.monotonic() - start, "lock": lock}
        self._finished.write_text(json.dumps(told))

    def play(self, number: int, rng: random.Random) -> Round:
        """Disturb a run of the last stages, then run them to the end."""
        name = list(DISTURBANCES)[number % len(DISTURBANCES)]
        disturbance, first = DISTURBANCES[name], self.stages.index(rng.choice(self.first_stages))
        at, after = rng.choice(self.stages[first:]), rng.uniform(0, self.seconds / len(self.stages))
        now = Round(number, self.recipe, name, disturbance.command, self.stages[first], round(after, 1), at)
        if name == "the disk is full" and not is_small_disk(self.workspace.path):
            now.said = "not tried: no small disk can be mounted here"
            return now
        self._undo(self.stages[first:])
        self._disturb(disturbance, now, after, rng)
        self._mend_lock(now)
        self._compare(now)
        return now

    def _disturb(self, disturbance: Disturbance, now: Round, after: float, rng: random.Random) -> None:
        log = self.workspace.path.parent / "log"
        environment = self.workspace.environment | {
            "LUSS_CHECKPOINT_SECONDS": "0.5",
            "LUSS_WORKERS": "2",
            "PREFECT_HOME": str(self.workspace.path.parent / "prefect"),
        }
        with log.open("w") as out:
            process = subprocess.Popen(
                [sys.executable, *disturbance.arguments],
                cwd=self.workspace.path,
                env=environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
                preexec_fn=disturbance.limits(rng),
            )
        current = Run(process, self.workspace.path)
        current.wait_for(f"Running stage '{now.at}'", log)
        current.wait_quietly(after)
        disturbance.act(current, rng)
        now.status = current.wait_while_it_speaks(log, PATIENCE)
        disturbance.undo(current)
        now.left = end_all(current.family())
        now.tracebacks, now.said = log.read_text().count("Traceback (most recent"), last_line(log)

    def _undo(self, stages: list[str]) -> None:
        """Make stages unfinished: they are not there, have never run, and nothing of them can be restored."""
        lock = yaml.safe_load(self.lock)
        for stage in stages:
            for out in lock["stages"].pop(stage, {"outs": []})["outs"]:
                remove(self.workspace.path / out["path"])
        (self.workspace.path / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
        for folder in (".checkpoints", ".dvc/cache/runs"):
            shutil.rmtree(self.workspace.path / folder, ignore_errors=True)

    def _mend_lock(self, now: Round) -> None:
        """A torn dvc.lock is put back as `luss doctor` says."""
        lock = self.workspace.path / "dvc.lock"
        try:
            yaml.safe_load(lock.read_text() if lock.is_file() else "")
        except yaml.YAMLError:
            now.is_lock_torn = True
            lock.write_text(self.lock)

    def _compare(self, now: Round) -> None:
        done = self.workspace.run("-m", "dvc", "repro")
        if done.returncode:
            now.said = f"the run after it failed: {done.stdout.strip().splitlines()[-1]}"
        now.tracebacks += done.stdout.count("Traceback (most recent")
        outs = self.workspace.outs()
        expected = {path: md5 for stage in self.undisturbed.values() for path, md5 in stage.items()}
        found = {path: md5 for stage in outs.values() for path, md5 in stage.items()}
        there = {path for path in found if (self.workspace.path / path).exists()}
        now.lost = len(set(expected) - there)
        now.differing = sum(found[path] != expected[path] for path in there & set(expected))


def small_values(recipe: str) -> list[str]:
    """What makes a recipe small enough to run in a minute, as `luss use` is told."""
    sections: dict[str, Any] = compose(Recipe(recipe, "sample"))
    trained = [stage for stage, section in sections.items() if section.get("training")]
    return [
        *SHARED,
        *(f"{stage}.training.epochs=6" for stage in trained),
        *(f"{stage}.training.batch_size=4" for stage in trained),
        *(f"{stage}.training.optimizer.warmup_epochs=0" for stage in trained),
        "evaluate.overlays=4",
    ]


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip()[-110:] for line in reversed(lines) if line.strip()), "before its first line")


def report(rounds: list[Round]) -> dict[str, object]:
    """Print what became of every kind of disturbance."""
    columns = ("rounds", "lost", "differing", "hung", "tracebacks", "processes left", "dvc.lock torn")
    table = Table("disturbance", *columns, title=f"{len(rounds)} disturbed runs")
    for name in [*DISTURBANCES, "all"]:
        table.add_row(name, *map(str, count([one for one in rounds if name in (one.disturbance, "all")])))
    Console(width=150).print(table)
    for one in rounds:
        if not one.is_clean:
            Console(width=150).print(one)
    return {"benchmark": "campaign", **dict(zip(columns, count(rounds), strict=True))}


def count(rounds: list[Round]) -> list[int]:
    return [
        len(rounds),
        sum(one.lost for one in rounds),
        sum(one.differing for one in rounds),
        sum(one.is_hung for one in rounds),
        sum(one.tracebacks for one in rounds),
        sum(one.left for one in rounds),
        sum(one.is_lock_torn for one in rounds),
    ]
