"""Superpixels and saliency at scale: killed and resumed, with any workers, and what more photographs cost."""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from stages.core.errors import UserError
from stages.core.hashing import hash_files
from stages.core.progress import track
from stages.index.methods.folder import FolderConfig
from stages.saliency.methods.rc import RCConfig
from stages.superpixels.methods.slic import SLICConfig
from tests.project.workspace import Workspace

STAGES = ("superpixels", "saliency")
IMAGENET_S919 = 1_183_322
"""Training photographs of the largest set."""

Hashes = dict[str, dict[str, str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=10, help="runs that are killed (default: %(default)s)")
    parser.add_argument("--photos", type=int, default=400, help="photographs in them (default: %(default)s)")
    parser.add_argument("--counts", type=int, nargs="*", default=[250, 500, 1000, 2000], help="for the cost curve")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "clone")
        prepare(workspace, args.data, args.photos)
        start = time.monotonic()
        undisturbed = repro(workspace, {"LUSS_WORKERS": "1"})
        duration = time.monotonic() - start
        equal = {"two workers": repro(workspace, {"LUSS_WORKERS": "2"}) == undisturbed}
        if find_spec("distributed"):
            equal["two Dask workers"] = repro_on_dask(workspace) == undisturbed
        rng = random.Random(args.seed)
        rounds = track(range(args.kills), label="kills", unit="kills")
        kills = [kill_and_resume(workspace, rng.uniform(0.2, duration), bool(n % 2)) for n in rounds]
        resumed = [
            {"kill": text, "dvc.lock torn": torn, "equal": hashes == undisturbed} for text, torn, hashes in kills
        ]
        costs = [measure_cost(Path(folder) / str(count), args.data, count) for count in args.counts]
    show(equal, resumed, costs)
    results = {"equal": equal, "resumed": resumed, "cpu_seconds": costs, "core_hours_919": extrapolate(costs)}
    return {"benchmark": "priors"} | results


def prepare(workspace: Workspace, data: Path | None, count: int) -> None:
    """Replace the clone's photographs and run its index."""
    shutil.rmtree(workspace.path / "data")
    write_photos(workspace.path / "data", data, count)
    sections = {"index": FolderConfig(), "superpixels": SLICConfig(), "saliency": RCConfig()}
    for stage, config in sections.items():
        workspace.set_section(stage, config.model_dump(mode="json"))
    workspace.repro("index")


def write_photos(target: Path, data: Path | None, count: int) -> None:
    """Copies of the photographs of a folder, again and again until there are enough; drawn ones without a folder."""
    target.mkdir(parents=True)
    sources = sorted(data.rglob("*.jpg")) if data else []
    if data and not sources:
        raise UserError(f"{data}: no photographs (*.jpg)")
    rng = np.random.default_rng(0)
    for number in range(count):
        path = target / f"{number:05d}.jpg"
        if sources:
            shutil.copy(sources[number % len(sources)], path)
        else:
            cv2.imwrite(str(path), cv2.resize(rng.integers(0, 256, (9, 12, 3)).astype(np.uint8), (320, 240)))


def repro(workspace: Workspace, environment: dict[str, str]) -> Hashes:
    done = start(workspace, environment)
    output, _ = done.communicate()
    if done.returncode != 0:
        raise UserError(f"dvc repro failed:\n{output}")
    return {stage: hash_files(sorted((workspace.path / "artifacts" / stage).iterdir())) for stage in STAGES}


def start(workspace: Workspace, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "-f", "-s", *STAGES],
        cwd=workspace.path,
        env=workspace.environment | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def repro_on_dask(workspace: Workspace) -> Hashes:
    with dask_cluster(workspace) as address:
        return repro(workspace, {"DASK_SCHEDULER_ADDRESS": address})


@contextmanager
def dask_cluster(workspace: Workspace) -> Iterator[str]:
    """Two worker processes on loopback that stand in the clone."""
    from distributed import LocalCluster

    path = os.pathsep.join(filter(None, [str(workspace.path), os.environ.get("PYTHONPATH")]))
    alone = {"n_workers": 2, "threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": None}
    with chdir(workspace.path), mock.patch.dict(os.environ, PYTHONPATH=path), LocalCluster(**alone) as cluster:
        yield cluster.scheduler_address


def kill_and_resume(workspace: Workspace, seconds: float, alone: bool) -> tuple[str, bool, Hashes]:
    """Kill everything, or the stage's own process alone, after some seconds; then run again.

    A run that ends before is none: another is started and killed in half the time. DVC does not write dvc.lock in one
    piece: where the kill tore it, that is told, and the lock put back as a user would do by `git checkout dvc.lock`.
    """
    lock = workspace.path / "dvc.lock"
    before = lock.read_bytes()
    process = start(workspace, {"LUSS_WORKERS": "2"})
    deadline = time.monotonic() + seconds
    stage = None
    while process.poll() is None and (time.monotonic() < deadline or (alone and stage is None)):
        time.sleep(0.01)
        stage = find_stage(process)
    if process.poll() is not None:
        process.communicate()
        return kill_and_resume(workspace, seconds / 2, alone)
    if alone and stage is not None:
        what = f"{stage_name(stage)} after {seconds:.1f} s"
        stage.kill()
    else:
        what = f"everything after {seconds:.1f} s"
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    try:
        return what, False, repro(workspace, {"LUSS_WORKERS": "2"})
    except UserError as error:
        if "dvc.lock" not in str(error):
            raise
    lock.write_bytes(before)
    return what, True, repro(workspace, {"LUSS_WORKERS": "2"})


def find_stage(dvc: subprocess.Popen[str]) -> psutil.Process | None:
    """The process of the running stage below DVC, not its workers."""
    try:
        below = psutil.Process(dvc.pid).children(recursive=True)
        return next((process for process in below if stage_name(process)), None)
    except psutil.NoSuchProcess:
        return None


def stage_name(process: psutil.Process) -> str:
    words = process.cmdline()
    return next((word for word in words[1:3] if word.startswith("stages.")), "") if "python" in process.name() else ""


def measure_cost(folder: Path, data: Path | None, count: int) -> dict[str, float]:
    """CPU seconds of each stage in one process, start-up and all."""
    workspace = Workspace(folder)
    prepare(workspace, data, count)
    costs: dict[str, float] = {"photos": count}
    for stage in STAGES:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = workspace.run("-m", f"stages.{stage}")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if done.returncode != 0:
            raise UserError(done.stdout)
        costs[stage] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shutil.rmtree(folder)
    return costs


def extrapolate(costs: list[dict[str, float]]) -> dict[str, float]:
    """Core-hours for the largest set, by the line through the costs: starting and compiling count once."""
    if len(costs) < 2:
        return {}
    photos = [row["photos"] for row in costs]
    lines = {stage: np.polynomial.Polynomial.fit(photos, [row[stage] for row in costs], 1) for stage in STAGES}
    return {stage: float(line(IMAGENET_S919)) / 3600 for stage, line in lines.items()}


def show(equal: dict[str, bool], resumed: list[dict[str, object]], costs: list[dict[str, float]]) -> None:
    table = Table("run", "same bytes as one undisturbed worker")
    for name, holds in equal.items():
        table.add_row(name, "yes" if holds else "NO")
    for row in resumed:
        held = "yes" if row["equal"] else "NO"
        table.add_row(str(row["kill"]), f"{held}, but dvc.lock had to be restored" if row["dvc.lock torn"] else held)
    Console(width=110).print(table)
    table = Table("photographs", *(f"{stage}: CPU s (ms each)" for stage in STAGES))
    for row in costs:
        cells = [f"{row[stage]:.1f} ({row[stage] / row['photos'] * 1000:.1f})" for stage in STAGES]
        table.add_row(str(row["photos"]), *cells)
    Console(width=110).print(table)
