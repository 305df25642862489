"""How stages grow with the photographs: processor seconds, peak memory, bytes; and tables of 1.2 million rows."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console
from rich.table import Table

from flows.recipes.composing import Recipe, compose
from stages.core.artifacts.features import Feature, read_features, write_features
from stages.core.artifacts.image_index import Photo, read_images, write_images
from stages.core.artifacts.label_maps import LabelMap, LabelMaps, write_label_maps
from stages.core.metrics.counting import CountingSettings, count_images
from tests.benchmarks.evaluate import draw_quarters
from tests.project import workspace

ROOT = Path(__file__).parents[2]
METHOD, DATASET = (str(ROOT / path) for path in workspace.TINY)
MAPPING = (
    "superpixels={method: slic}",
    "attend={method: pixel_attention, prototypes: 6, views: {crops: [{count: 2, size: 32, scale: [0.3, 1.0]}]}, "
    "training: {epochs: 1}}",
    "pseudolabel={method: nearest_centroid, resize: 48}",
    "finetune.rounds=2",
)
"""Methods that map photographs, for stages that the tiny recipe passes over."""
HANDFUL = 60
"""Photographs of the run that tells what starting takes."""
STEEPEST = 1.05
"""Slope of the seconds on a log scale that is wanted at most."""
LEAST_SECONDS = 1.0
"""Beyond starting, for the least photographs, of a stage that has a slope."""
MOST_KIB = 4.0
"""Of peak memory for a further photograph, where few of them tell buffers from rows badly."""
USED = ROOT / "tests" / "benchmarks" / "used.py"
SIMULATED = ("index", "label maps", "features", "evaluate")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 4000, 10_000], help="photographs (%(default)s)")
    parser.add_argument("--rows", type=int, default=1_200_000, help="of the simulated tables; 0 for none")
    parser.add_argument("--path", choices=SIMULATED, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, object]:
    if args.path:
        return simulate(args.path, args.rows)
    stages = measure_stages(args.sizes) if args.sizes else {}
    table = Table("stage", *(f"{size} photographs: s, MiB, MB" for size in args.sizes), "slope", "KiB a photograph")
    for stage, rows in stages.items():
        cells = [f"{row['seconds']:.1f}, {row['peak_mib']:.0f}, {row['bytes'] / 1e6:.2f}" for row in rows]
        table.add_row(stage, *cells, f"{slope(rows):.2f}" if is_work(rows) else "", f"{growth(rows):.1f}")
    Console().print(table)
    simulated = {path: in_own_process(path, args.rows) for path in SIMULATED} if args.rows else {}
    table = Table(f"{args.rows} rows", "write s", "open s", "read s", "peak MiB", "MB")
    for path, row in simulated.items():
        table.add_row(path, *(f"{row[name]:.2f}" for name in ("write", "open", "read", "peak_mib", "mb")))
    Console().print(table)
    slopes = {stage: slope(rows) for stage, rows in stages.items() if is_work(rows)}
    growths = {stage: growth(rows) for stage, rows in stages.items()}
    holds = all(each <= STEEPEST for each in slopes.values()) and all(each <= MOST_KIB for each in growths.values())
    report = {"stages": stages, "slopes": slopes, "kib_a_photograph": growths, "simulated": simulated}
    return {"benchmark": "scale", **report, "holds": holds}


def is_work(rows: list[dict[str, float]]) -> bool:
    """Whether a stage computes long enough for a slope, which start-up would blur."""
    return len(rows) > 1 and rows[0]["seconds"] >= LEAST_SECONDS


def slope(rows: list[dict[str, float]]) -> float:
    """Of the seconds by the photographs, both as logarithms."""
    photographs, seconds = ([row[name] for row in rows] for name in ("photographs", "seconds"))
    return float(np.polyfit(np.log(photographs), np.log(seconds), 1)[0])


def growth(rows: list[dict[str, float]]) -> float:
    """Peak memory by the photographs, in KiB for each."""
    if len(rows) < 2:
        return 0.0
    photographs, peaks = ([row[name] for row in rows] for name in ("photographs", "peak_mib"))
    return float(np.polyfit(photographs, peaks, 1)[0] * 1024)


def measure_stages(sizes: list[int]) -> dict[str, list[dict[str, float]]]:
    """Of every stage: processor seconds beyond those of a handful of photographs, peak memory and bytes on disk."""
    found = []
    for size in [HANDFUL, *sizes]:
        with tempfile.TemporaryDirectory() as folder:
            found.append(dict(run_stages(Path(folder), size)))
        for stage, row in found[-1].items():
            print(f"{size} photographs, {stage}: {row['seconds']:.1f} s, {row['peak_mib']:.0f} MiB", flush=True)
    start, *measured = found
    return {
        stage: [
            {**rows[stage], "photographs": size, "seconds": max(rows[stage]["seconds"] - start[stage]["seconds"], 1e-3)}
            for size, rows in zip(sizes, measured, strict=True)
        ]
        for stage in start
    }


def run_stages(folder: Path, size: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Every stage of the tiny recipe, with a method that maps photographs wherever there is one; trainings take an
    epoch."""
    draw(folder / "data", size)
    with chdir(ROOT):
        sections = compose(Recipe(METHOD, DATASET, MAPPING))
    for values in sections.values():
        if "training" in values:
            values["training"] |= {"batch_size": 16, "epochs": 1}
    (folder / "params.yaml").write_text(yaml.safe_dump(sections))
    for stage in sections:
        seconds, peak = watch([sys.executable, "-m", f"stages.{stage}"], folder)
        written = sum(path.stat().st_size for path in (folder / "artifacts" / stage).rglob("*") if path.is_file())
        yield stage, {"seconds": seconds, "peak_mib": peak, "bytes": written}


def watch(command: list[str], folder: Path) -> tuple[float, float]:
    """Processor seconds of a command, and its largest memory in MiB."""
    environment = {"PYTHONPATH": str(ROOT), "LUSS_WORKERS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, USED, *command], cwd=folder, env=os.environ | environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    seconds, peak = json.loads(done.stdout)
    return seconds, peak


def draw(data: Path, size: int) -> None:
    """Eight in ten photographs to train on, the others with masks."""
    shares = {"train": 0.8, "validation": 0.1, "test": 0.1}
    counts = {split: round(share * size / len(workspace.CATEGORIES)) for split, share in shares.items()}
    known, workspace.IMAGES = workspace.IMAGES, counts
    try:
        workspace.draw_data(data)
    finally:
        workspace.IMAGES = known


def in_own_process(path: str, rows: int) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks", "scale", "--path", path, "--rows", str(rows)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    row: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return row


def simulate(path: str, rows: int) -> dict[str, object]:
    """Write, open and read a table of many rows with next to nothing in them."""
    steps: dict[str, tuple[Callable[[int], object], Callable[[], object], Callable[[int], object]]] = {
        "index": (write_index, lambda: len(read_images()), lambda rows: read_images().in_splits("train")),
        "label maps": (write_maps, lambda: len(LabelMaps(Path("artifacts/predict"))), read_maps),
        "features": (write_vectors, lambda: None, lambda rows: read_features(halves_above=0)),
        "evaluate": (lambda rows: None, lambda: None, count),
    }
    seconds = {}
    with tempfile.TemporaryDirectory() as folder, chdir(folder):
        write, open_, read = steps[path]
        for name, step in {"write": lambda: write(rows), "open": open_, "read": lambda: read(rows)}.items():
            start = time.perf_counter()
            step()
            seconds[name] = time.perf_counter() - start
        size = sum(each.stat().st_size for each in Path().rglob("*") if each.is_file()) / 1e6
    status = Path("/proc/self/status").read_text()
    return {**seconds, "mb": size, "peak_mib": int(status.partition("VmHWM:")[2].split()[0]) / 1024}


def ids(rows: int) -> Iterator[str]:
    return (f"train/n{number // 1300:08d}/n{number // 1300:08d}_{number}" for number in range(rows))


def write_index(rows: int) -> None:
    write_images((Photo(one, "train", f"{one}.JPEG", 375, 500, 1, "0") for one in ids(rows)), [], "imagenet_s")


def write_maps(rows: int) -> None:
    pixel = np.ones((1, 1), np.uint16)
    write_label_maps("predict", "cam", (LabelMap(one, 375, 500, pixel) for one in ids(rows)))


def read_maps(rows: int) -> None:
    """A thousand in any order."""
    maps, wanted = LabelMaps(Path("artifacts/predict")), list(ids(rows))
    for number in np.random.default_rng(0).integers(0, rows, 1000):
        assert maps[wanted[number]].map.shape == (1, 1)


def write_vectors(rows: int) -> None:
    vector = np.zeros(8, np.float16)
    write_features((Feature(one, 0, 1, vector) for one in ids(rows)), 8, "float16", "image")


def count(rows: int) -> object:
    """A hundredth of the rows is counted: as many as ImageNet-S has to score."""
    settings = CountingSettings(919, 919, 1000, 61)
    return count_images(range(rows // 100), draw_pair, settings, "drawn")


def draw_pair(number: int) -> object:
    from stages.core.metrics.counting import MapPair

    rng = np.random.default_rng(number)
    true, pred = draw_quarters(rng, 919), draw_quarters(rng, 919)
    return MapPair(true, pred, rng.integers(0, 62, true.shape).astype(np.uint8), "", "")
