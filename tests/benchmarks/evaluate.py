"""The evaluation beside a straightforward one: from PNGs, the threshold curve, matching, memory."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from stages.core.metrics.counting import CountingSettings, MapPair, _count_chunk, count_image
from stages.core.metrics.counts import Counts
from stages.core.metrics.matching import assign, contingency_matrix
from stages.core.metrics.scores import benchmark_summary, score
from stages.core.metrics.thresholds import Thresholds
from stages.core.png_files import encode_png
from stages.evaluate.tools.pairing import Triple
from stages.evaluate.tools.score_folder import FileMapLoader
from tests.benchmarks.timing import alternate
from tests.evaluate.plain import IGNORE, count_plainly

HEIGHT, WIDTH = 375, 500
CURVE = tuple(value / 100 for value in range(61))
TRAIN_IMAGES, CLASSES = 1_183_322, 919


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--images", type=int, default=24, help="images per set (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed runs of each (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        sets = {classes: draw_set(Path(folder) / str(classes), classes, args.images) for classes in (50, CLASSES)}
        result = {
            "benchmark": "evaluate",
            "from_png": {classes: compare_from_png(files, classes, args.rounds) for classes, files in sets.items()},
            "curve": {classes: compare_curve(files, classes, args.rounds) for classes, files in sets.items()},
        }
    return result | {"matching": time_matching(), "memory": measure_memory()}


def draw_set(folder: Path, classes: int, images: int) -> list[Triple]:
    """Masks of one to four objects, predictions that shift them and confuse some, smooth float scores."""
    folder.mkdir(parents=True)
    rng, files = np.random.default_rng(classes), []
    for number in range(images):
        true = draw_objects(rng, classes, int(rng.integers(1, 5)))
        true[: int(rng.integers(0, 40))] = IGNORE
        pred = np.roll(np.where(true == IGNORE, 0, true), (9, -13), (0, 1))
        pred = np.where(draw_objects(rng, classes, 2) > 0, rng.integers(1, classes + 1), pred)
        scores = cv2.GaussianBlur(rng.random((HEIGHT, WIDTH), np.float32), (0, 0), 9)
        scores = (scores - scores.min()) / (scores.max() - scores.min())
        triple = Triple(*(folder / f"{number}{name}" for name in ("-true.png", "-pred.png", "-score.npy")))
        for path, ids in ((triple.mask, true), (triple.prediction, pred)):
            rgb = np.stack([ids % 256, ids // 256, np.zeros_like(ids)], 2)
            path.write_bytes(encode_png(rgb.astype(np.uint8)))
        np.save(triple.scores, scores)
        files.append(triple)
    return files


def draw_objects(rng: np.random.Generator, classes: int, count: int) -> np.ndarray:
    ids = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(count):
        center, axes = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))), rng.integers(20, 140, 2).tolist()
        cv2.ellipse(ids, center, axes, float(rng.integers(180)), 0, 360, float(rng.integers(1, classes + 1)), -1)
    return ids.astype(np.int64)


# --- ours


def count_files(files: Sequence[Triple], classes: int, thresholds: Sequence[float] = ()) -> Counts:
    load = FileMapLoader(Thresholds(thresholds) if thresholds else None)
    return _count_chunk(load, CountingSettings(classes, classes, IGNORE, max(len(thresholds), 1)), files)[0]


# --- comparisons


def compare_from_png(files: list[Triple], classes: int, rounds: int) -> dict[str, float | bool]:
    seconds = alternate(
        {"plain": partial(count_plainly, files, classes), "ours": partial(count_files, files, classes)}, rounds
    )
    pngs = alternate({"png": lambda: [FileMapLoader(None)(triple) for triple in files]}, rounds)["png"]
    result = {
        "plain_ms_per_image": round(1e3 * seconds["plain"] / len(files), 2),
        "ours_ms_per_image": round(1e3 * seconds["ours"] / len(files), 2),
        "ours_png_only_ms_per_image": round(1e3 * pngs / len(files), 2),
        "ratio": round(seconds["plain"] / seconds["ours"], 1),
        "equal_counts": are_equal(files, classes),
    }
    show(f"from PNG, {WIDTH}x{HEIGHT}, {classes} classes, boundary and size groups", result)
    return result


def are_equal(files: list[Triple], classes: int) -> bool:
    plain, ours = count_plainly(files, classes), count_files(files, classes)
    found = score(ours, np.arange(classes + 1))
    return all(np.array_equal(np.stack(part, 2), plain[kind]) for kind, part in enumerate((found.areas, found.edges)))


def compare_curve(files: list[Triple], classes: int, rounds: int) -> dict[str, float | bool]:
    """61 thresholds in one pass against one pass for each of them, both from PNG and .npy."""
    few = files[:8]
    seconds = alternate(
        {
            "61 runs": lambda: [count_files(few, classes, (threshold,)) for threshold in CURVE],
            "one run": partial(count_files, few, classes, CURVE),
        },
        max(rounds // 2, 1),
    )
    whole, match = count_files(few, classes, CURVE), np.arange(classes + 1)
    singles = [benchmark_summary(score(count_files(few, classes, (threshold,)), match)) for threshold in CURVE]
    result = {
        "61_runs_s": round(seconds["61 runs"], 3),
        "one_run_s": round(seconds["one run"], 3),
        "ratio": round(seconds["61 runs"] / seconds["one run"], 1),
        "equal_scores": singles == [benchmark_summary(score(whole, match, level)) for level in range(len(CURVE))],
    }
    show(f"curve of 61 thresholds, {classes} classes, {len(few)} images", result)
    return result


def time_matching() -> dict[str, float]:
    """Clusters of all train images against their classes, and the assignment."""
    rng = np.random.default_rng(0)
    classes = rng.integers(0, CLASSES, TRAIN_IMAGES)
    clusters = np.where(rng.random(TRAIN_IMAGES) < 0.5, (classes * 7) % CLASSES, rng.integers(0, CLASSES, TRAIN_IMAGES))
    matrix = contingency_matrix(clusters, classes, (CLASSES, CLASSES))
    part = TRAIN_IMAGES // 50

    def loop() -> np.ndarray:
        found = np.zeros((CLASSES, CLASSES), np.int64)
        for cluster, category in zip(clusters[:part], classes[:part], strict=True):
            found[cluster, category] += 1
        return found

    seconds = alternate(
        {
            "loop": loop,
            "matrix": lambda: contingency_matrix(clusters, classes, (CLASSES, CLASSES)),
            "assign": lambda: assign(matrix),
        },
        5,
    )
    result = {
        "loop_extrapolated_s": round(50 * seconds["loop"], 3),
        "matrix_s": round(seconds["matrix"], 4),
        "hungarian_s": round(seconds["assign"], 4),
        "matrix_and_hungarian_s": round(seconds["matrix"] + seconds["assign"], 4),
    }
    show(f"matching {CLASSES} classes over {TRAIN_IMAGES} images", result)
    return result


# --- memory: each size in a process of its own


def measure_memory() -> dict[str, dict[str, float]]:
    """Peak resident MiB while 1,000 and 20,000 small images are counted, and the distinct pairs of ids that were met.

    A class is taken for itself or one of six others, or for its neighbor's prediction along its border.
    """
    found: dict[str, dict[str, float]] = {}
    for classes, levels in ((50, 1), (50, 61), (CLASSES, 1), (CLASSES, 61)):
        name, values = f"{classes} classes, {levels} thresholds", {}
        for images in (1_000, 20_000):
            peak, pairs = _measure(classes, levels, images)
            values |= {f"{images}_images_mib": peak, f"{images}_images_pairs": pairs}
        found[name] = values
        show(f"peak memory, {name}", values)
    return found


def _measure(classes: int, levels: int, images: int) -> tuple[float, float]:
    code = f"from tests.benchmarks.evaluate import count_drawn; print(*count_drawn({classes}, {levels}, {images}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    peak, pairs = done.stdout.splitlines()[-1].split()
    return float(peak), int(pairs)


def count_drawn(classes: int, levels: int, images: int) -> tuple[float, int]:
    """Count small drawn images one after the other; returns this process's peak in MiB and the distinct pairs."""
    rng, counts = np.random.default_rng(0), Counts(classes, classes, levels)
    scale = CountingSettings(classes, classes, IGNORE, levels)
    for _ in range(images):
        true = draw_quarters(rng, classes)
        pred = np.where(rng.random() < 0.5, true, (7 * true + rng.integers(5)) % (classes + 1)).astype(np.uint16)
        ranks = rng.integers(0, levels + 1, true.shape).astype(np.uint8) if levels > 1 else None
        counts.add_image(count_image(MapPair(true, np.roll(pred, 3, 0), ranks, "", ""), scale))
    score(counts, np.arange(classes + 1))
    # The kernel's high-water mark of this program alone: getrusage would carry the parent's over.
    status = Path("/proc/self/status").read_text()
    return round(int(status.partition("VmHWM:")[2].split()[0]) / 1024, 1), len(counts.overlap()[0])


def draw_quarters(rng: np.random.Generator, classes: int) -> np.ndarray:
    """A 32x32 map of four ids that meet in a point."""
    corner, ids = rng.integers(8, 24, 2), rng.integers(0, classes + 1, (2, 2))
    quarters = np.repeat(np.repeat(ids, [corner[0], 32 - corner[0]], 0), [corner[1], 32 - corner[1]], 1)
    return quarters.astype(np.uint16)


def show(title: str, values: dict[str, object]) -> None:
    table = Table("", "value", title=title, title_justify="left")
    for name, value in values.items():
        table.add_row(name, str(value))
    Console().print(table)
