"""Photographs linked and copied: `dvc repro index`, a no-op and `dvc status`, beside the stage alone and 100 files."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from stages.core.errors import UserError
from tests.project.workspace import copy_project

SMALL, SIDE, PER_FOLDER = 100, 64, 1000
ALONE, LINKED, COPIED = "python -m stages.index alone", "linked: dvc repro index", "copied: dvc repro index"
WAYS = ("small", "copied", "linked")
LIMITS = {LINKED: 1.2, "linked: no-op": 1.1, "linked: dvc status": 1.1}
"""Of the ratio to the stage alone, and to the set of `SMALL` files."""


class Cost(NamedTuple):
    """What a command took."""

    seconds: float
    cpu: float
    """Seconds of all processors together, which others on the machine disturb least."""
    peak_mib: float
    """Of the process and its children together."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--photographs", type=int, default=20_000, help="drawn JPEGs (default: %(default)s)")
    parser.add_argument("--without-copies", action="store_true", help="leave out what takes long with many copies")
    parser.add_argument("--rounds", type=int, default=3, help="timed no-ops of each way (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        draw(root / "photographs", args.photographs)
        ways = [way for way in WAYS if way != "copied" or not args.without_copies]
        projects = {way: make_project(root / way) for way in ways}
        costs = measure_index(root, projects, args.photographs) | measure_nothing(projects, args.rounds)
    columns = ("what", "seconds", "CPU seconds", "peak MiB", "ratio of CPU", "limit")
    table = Table(*columns, title=f"{args.photographs} photographs, one run")
    ratios = {name: cost.cpu / costs[reference(name)].cpu for name, cost in costs.items()}
    for name, cost in costs.items():
        limit = str(LIMITS.get(name, ""))
        numbers = (f"{cost.seconds:.2f}", f"{cost.cpu:.2f}", f"{cost.peak_mib:.0f}", f"{ratios[name]:.2f}")
        table.add_row(name, *numbers, limit)
    Console().print(table)
    return {
        "benchmark": "link",
        "photographs": args.photographs,
        "seconds": {name: round(cost.seconds, 2) for name, cost in costs.items()},
        "cpu_seconds": {name: round(cost.cpu, 2) for name, cost in costs.items()},
        "peak_mib": {name: round(cost.peak_mib) for name, cost in costs.items()},
        "ratios": {name: round(ratio, 3) for name, ratio in ratios.items()},
        "holds": all(ratios[name] <= limit for name, limit in LIMITS.items()),
    }


def reference(name: str) -> str:
    """What a cost is held against: the stage alone, or the same command on the small set."""
    kind = name.partition(": ")[2]
    return f"small: {kind}" if kind in ("no-op", "dvc status") else ALONE


def draw(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        place = folder / f"{number // PER_FOLDER:05d}" / f"{number:07d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = cv2.resize(rng.integers(0, 256, (4, 4, 3), np.uint8), (SIDE, SIDE))
        place.write_bytes(cv2.imencode(".jpg", pixels)[1].tobytes())


def measure_index(root: Path, projects: Mapping[str, Path], count: int) -> dict[str, Cost]:
    """Index the set in every way; the stage alone before and after the linked way, of which the mean counts."""
    draw(projects["small"] / "data", min(SMALL, count))
    command(projects["small"], "dvc", "repro", "index")
    linked = projects["linked"]
    costs = {"luss data link": command(linked, "flows", "data", "link", str(root / "photographs"))}
    first = command(linked, "stages.index")
    costs[LINKED] = command(linked, "dvc", "repro", "index")
    second = command(linked, "stages.index")
    costs[ALONE] = Cost(*((before + after) / 2 for before, after in zip(first, second, strict=True)))
    if copied := projects.get("copied"):
        subprocess.run(["cp", "-rl", root / "photographs", copied / "data"], check=True)
        costs[COPIED] = command(copied, "dvc", "repro", "index")
    costs["luss data check"] = command(linked, "flows", "data", "check")
    return costs


def measure_nothing(projects: Mapping[str, Path], rounds: int) -> dict[str, Cost]:
    """Do nothing in every way, taking turns; the least time counts, which others on the machine disturb least."""
    commands = {"no-op": ("dvc", "repro", "index"), "dvc status": ("dvc", "status")}
    taken: dict[str, list[Cost]] = {}
    for _ in range(rounds):
        for kind, arguments in commands.items():
            for way, project in projects.items():
                taken.setdefault(f"{way}: {kind}", []).append(command(project, *arguments))
    return {name: Cost(*(min(measured) for measured in zip(*costs, strict=True))) for name, costs in taken.items()}


def make_project(path: Path) -> Path:
    copy_project(path)
    subprocess.run(["git", "init", "-q"], cwd=path, check=True)
    command(path, "flows", "use", "swav", "folder")
    return path


def command(project: Path, *arguments: str) -> Cost:
    """Run `python -m ARGUMENTS` in a project."""
    environment = {
        **os.environ,
        "PYTHONPATH": "",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    start = time.perf_counter()
    with (project.parent / "log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=project, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        cpu, peak = watch(process)
        log.seek(0)
        if process.returncode:
            raise UserError(f"{' '.join(arguments)} failed:\n{log.read()}")
    return Cost(time.perf_counter() - start, cpu, peak)


def watch(process: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Wait for the end of a process; returns the CPU seconds and the most MiB that it and its children took."""
    peak, ended = [0.0], threading.Event()
    thread = threading.Thread(target=_sample, args=(process.pid, peak, ended))
    thread.start()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    ended.set()
    thread.join()
    return used.ru_utime + used.ru_stime, peak[0]


def _sample(pid: int, peak: list[float], ended: threading.Event) -> None:
    while not ended.wait(0.2):
        used = 0
        try:
            family = [parent := psutil.Process(pid), *parent.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        for each in family:
            try:
                used += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak[0] = max(peak[0], used / 2**20)
