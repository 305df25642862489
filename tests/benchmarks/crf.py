"""The own mean field beside pydensecrf: agreement of the labels, and milliseconds a photograph."""

from __future__ import annotations

import argparse
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from stages.core.config.crf import CRFConfig
from stages.core.errors import UserError
from stages.core.files import list_files, suffix_of
from stages.core.image_files import read_image
from stages.core.images.dense_crf import infer_mean_field, refine
from stages.core.images.working_size import shrink
from tests.benchmarks.superpixels import draw
from tests.benchmarks.timing import alternate

LABELS, CELL, MAX_SIDE = 4, 32, 500
SETTINGS = {
    "maskcontrast": CRFConfig(),
    "rca": CRFConfig(near=3, near_weight=3, alike=80, alike_color=13, alike_weight=10),
}
TARGETS = {"overall": 0.98, "changed": 0.9}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=50, help="photographs (default: %(default)s)")
    parser.add_argument("--timed", type=int, default=8, help="of them, how many are timed (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    if find_spec("pydensecrf") is None:
        raise UserError("the benchmark crf compares with pydensecrf: pip install 'luss[crf]'")
    photographs = load(args.data, args.limit) if args.data else [draw(seed, 320).image for seed in range(args.limit)]
    guesses = [guess(each) for each in photographs]
    rows = {name: compare(photographs, guesses, config, args.timed) for name, config in SETTINGS.items()}
    return {"benchmark": "crf", "photographs": len(photographs), **rows}


def load(data: Path, limit: int) -> list[np.ndarray]:
    """JPEGs of a folder, evenly spread over it, with a longer side of at most `MAX_SIDE` pixels."""
    paths = [path for path in list_files(data) if suffix_of(path) in (".jpg", ".jpeg")]
    if not paths:
        raise UserError(f"{data}: no JPEG files")
    return [shrink(read_image(data / path), MAX_SIDE) for path in paths[:: max(1, len(paths) // limit)][:limit]]


def guess(photograph: np.ndarray) -> np.ndarray:
    """What a coarse network might say (L, H, W): the shares of four groups of colors in cells, enlarged."""
    height, width = photograph.shape[:2]
    colors = photograph.reshape(-1, 3).astype(np.float32)
    cv2.setRNGSeed(0)
    criteria = (cv2.TERM_CRITERIA_MAX_ITER, 10, 0.0)
    _, groups, _ = cv2.kmeans(colors, LABELS, None, criteria, 1, cv2.KMEANS_PP_CENTERS)
    members = (groups.reshape(height, width) == np.arange(LABELS)[:, None, None]).astype(np.float32)
    cells = (max(width // CELL, 1), max(height // CELL, 1))
    coarse = [cv2.resize(cv2.resize(each, cells, interpolation=cv2.INTER_AREA), (width, height)) for each in members]
    shares = np.exp(3 * np.stack(coarse))
    return np.asarray(shares / shares.sum(0), np.float32)


def compare(
    photographs: list[np.ndarray], guesses: list[np.ndarray], config: CRFConfig, timed: int
) -> dict[str, object]:
    same, changed, same_changed = [], [], []
    for photograph, shares in zip(photographs, guesses, strict=True):
        peer = refine(photograph, shares, config).argmax(0)
        agrees = peer == infer_mean_field(photograph, shares, config).argmax(0)
        moved = peer != shares.argmax(0)
        same.append(agrees.mean())
        changed.append(moved.mean())
        same_changed.append(agrees[moved].sum() / max(moved.sum(), 1))
    pairs = list(zip(photographs, guesses, strict=True))[:timed]
    candidates = {"ours": infer_mean_field, "pydensecrf": refine}
    seconds = alternate({name: partial(solve, one, pairs, config) for name, one in candidates.items()}, 1)
    found = {"overall": float(np.mean(same)), "changed": float(np.mean(same_changed))}
    return {
        "agreement": found,
        "share changed": float(np.mean(changed)),
        "ms": {name: 1000 * taken / len(pairs) for name, taken in seconds.items()},
        "holds": {name: found[name] >= target for name, target in TARGETS.items()},
    }


def solve(how: object, pairs: list[tuple[np.ndarray, np.ndarray]], config: CRFConfig) -> None:
    assert callable(how)
    for photograph, shares in pairs:
        how(photograph, shares, config)
