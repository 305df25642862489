"""Superpixels beside OpenCV and scikit-image: time, boundary recall, undersegmentation error, compactness."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table
from skimage.measure import label as find_components

from stages.core.config.params import models_by_method
from stages.core.errors import UserError
from stages.core.image_files import read_image
from stages.core.png_files import read_mask
from stages.superpixels import Config
from stages.superpixels.quality import mean_quality, measure_quality
from tests.benchmarks.timing import alternate

PEER = "OpenCV slic"
SIDES = (224, 320, 512)
MARGINS = {"ratio": 8.0, "recall": -0.005, "error": 0.002}
Cut = Callable[[np.ndarray], np.ndarray]


class Example(NamedTuple):
    image: np.ndarray
    mask: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=100, help="photographs in all (default: %(default)s)")
    parser.add_argument("--timed", type=int, default=6, help="of them, how many are timed (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed rounds over these (default: %(default)s)")
    parser.add_argument("--methods", nargs="*", help="ours to measure (default: all)")


def run(args: argparse.Namespace) -> dict[str, object]:
    cv2.setNumThreads(1)
    pairs = find_pairs(args.data, args.limit) if args.data else []
    results: dict[str, object] = {"benchmark": "superpixels"}
    for side in SIDES:
        drawn = range(0 if pairs else args.limit)
        examples = [load_pair(*pair, side) for pair in pairs] + [draw(seed, side) for seed in drawn]
        rows = compare(examples, args)
        show(side, rows)
        results[str(side)] = rows | {"holds": holds(rows["slic"], rows[PEER])} if "slic" in rows else rows
    return results


def compare(examples: list[Example], args: argparse.Namespace) -> dict[str, dict[str, float]]:
    candidates = peers() | ours(args.methods)
    timed = [example.image for example in examples[:: max(1, len(examples) // args.timed)][: args.timed]]
    seconds = alternate({name: partial(cut_all, cut, timed) for name, cut in candidates.items()}, args.rounds)
    rows = {
        name: measure(cut, examples) | {"ms": seconds[name] / len(timed) * 1000} for name, cut in candidates.items()
    }
    return {name: row | {"ratio": rows[PEER]["ms"] / row["ms"]} for name, row in rows.items()}


def cut_all(cut: Cut, images: list[np.ndarray]) -> None:
    for image in images:
        cut(image)


def peers() -> dict[str, Cut]:
    from skimage.segmentation import felzenszwalb
    from skimage.segmentation import slic as skimage_slic

    return {
        PEER: cut_opencv,
        # Asked for more regions than there are cells of 20x20, because it gives fewer than it is asked for.
        "scikit-image slic": lambda image: skimage_slic(image, image.shape[0] * image.shape[1] // 310, start_label=1),
        "scikit-image felzenszwalb": lambda image: felzenszwalb(image, scale=100, sigma=0.8, min_size=100) + 1,
    }


def cut_opencv(image: np.ndarray) -> np.ndarray:
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB)
    superpixels = cv2.ximgproc.createSuperpixelSLIC(lab, cv2.ximgproc.SLIC, 20, 10.0)
    superpixels.iterate(10)
    superpixels.enforceLabelConnectivity(25)
    return superpixels.getLabels() + 1


def ours(chosen: list[str] | None) -> dict[str, Cut]:
    models = models_by_method(Config)
    if unknown := set(chosen or ()) - set(models):
        raise UserError(f"--methods {' '.join(unknown)}: no such method; there are: {', '.join(models)}")
    wanted = chosen or [name for name in models if name != "none"]
    return {name: models[name]().compute for name in wanted}


def measure(cut: Cut, examples: list[Example]) -> dict[str, float]:
    regions = [cut(example.image) for example in examples]
    quality = mean_quality(
        [measure_quality(cells, example.mask) for cells, example in zip(regions, examples, strict=True)]
    )
    whole = [find_components(cells.astype(int), connectivity=1).max() == len(np.unique(cells)) for cells in regions]
    return {**quality._asdict(), "connected": float(np.mean(whole))}


def holds(slic: dict[str, float], peer: dict[str, float]) -> dict[str, bool]:
    gain = {name: slic[name] - peer[name] for name in ("boundary_recall", "undersegmentation_error")}
    return {
        "time": slic["ratio"] >= MARGINS["ratio"],
        "boundary_recall": gain["boundary_recall"] >= MARGINS["recall"],
        "undersegmentation_error": gain["undersegmentation_error"] <= MARGINS["error"],
        "one component per label": slic["connected"] == 1,
    }


def show(side: int, rows: dict[str, dict[str, float]]) -> None:
    formats = {
        "ms": ("ms an image", "{:.2f}"),
        "ratio": (f"x {PEER}", "{:.1f}"),
        "boundary_recall": ("boundary recall", "{:.4f}"),
        "undersegmentation_error": ("underseg. error", "{:.4f}"),
        "compactness": ("compactness", "{:.3f}"),
        "region_count": ("regions", "{:.0f}"),
        "connected": ("connected", "{:.0%}"),
    }
    table = Table("method", *(title for title, _ in formats.values()), title=f"longer side {side} px")
    for name, row in rows.items():
        table.add_row(name, *(pattern.format(row[key]) for key, (_, pattern) in formats.items()))
    Console(width=130).print(table)


def find_pairs(data: Path, limit: int) -> list[tuple[Path, Path]]:
    """Photographs and masks of the validation split of a data set in the ImageNet-S layout, spread over its classes."""
    masks = sorted((data / "validation-segmentation").rglob("*.png"))
    if not masks:
        raise UserError(f"{data}: no masks under validation-segmentation/")
    masks = masks[:: max(1, len(masks) // limit)][:limit]
    photos = [data / "validation" / path.relative_to(data / "validation-segmentation") for path in masks]
    return [(photo.with_suffix(".jpg"), mask) for photo, mask in zip(photos, masks, strict=True)]


def load_pair(photo: Path, mask: Path, side: int) -> Example:
    image, truth = read_image(photo), read_mask(mask)
    scale = side / max(truth.shape)
    size = (round(truth.shape[1] * scale), round(truth.shape[0] * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = cv2.resize(truth.astype(np.uint16), size, interpolation=cv2.INTER_NEAREST).astype(np.int32)
    return Example(cv2.resize(image, size, interpolation=smooth), resized)


def draw(seed: int, side: int) -> Example:
    """Ellipses of random colors and texture on a background of the same kind."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((side, side), np.int32)
    for number in range(1, 5):
        middle, axes = rng.integers(0, side, 2).tolist(), rng.integers(side // 12, side // 4, 2).tolist()
        cv2.ellipse(mask, middle, axes, float(rng.uniform(0, 180)), 0, 360, number, -1)
    colors = rng.integers(40, 216, (5, 3))
    texture = cv2.GaussianBlur(rng.normal(0, 60, (side, side, 3)), (5, 5), 0)
    return Example(np.clip(colors[mask] + texture, 0, 255).astype(np.uint8), mask)
