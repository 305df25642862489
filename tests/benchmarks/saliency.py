"""Saliency: quality on photographs with object masks, and time beside scikit-image's graph-based segmentation."""

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

from stages.core.config.params import load_section, models_by_method
from stages.core.errors import UserError
from stages.core.image_files import read_image
from stages.core.png_files import read_mask
from stages.core.progress import track
from stages.evaluate.report.published import read_published
from stages.saliency import Config
from stages.saliency.maps import PhotoSaliency
from stages.saliency.methods.token_cut import TokenCutConfig
from tests.benchmarks.timing import alternate

PEER = "scikit-image felzenszwalb alone"
RC_SIZE, RBD_SIZE = (481, 321), (224, 224)
TARGETS = {"rc": 25.0, "rbd": 27.0}

Method = PhotoSaliency | TokenCutConfig
Score = Callable[[np.ndarray], np.ndarray]


class Example(NamedTuple):
    name: str
    image: np.ndarray
    mask: np.ndarray


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, help="photographs to measure quality on (default: all)")
    parser.add_argument("--timed", type=int, default=8, help="of them, how many are timed (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="timed rounds over these (default: %(default)s)")
    parser.add_argument("--methods", nargs="*", help="methods to measure (default: all)")
    parser.add_argument("--params", type=Path, help="measure its section saliency too (token_cut: weights stand there)")
    parser.add_argument("--pictures", type=Path, help="folder for sheets of every method's best and worst ten")


def run(args: argparse.Namespace) -> dict[str, object]:
    cv2.setNumThreads(1)
    examples = load(args.data, args.limit) if args.data else [draw(seed) for seed in range(args.limit or 40)]
    methods = choose(args.methods)
    if args.params:
        methods |= read_method(args.params)
    scores = {name: scorer(method) for name, method in methods.items()}
    full_size = {name: scorer(at_full_size(method)) for name, method in methods.items()}
    quality = {name: assess(name, score, examples, args.pictures) for name, score in scores.items()}
    show_quality(quality)
    times = compare_times(full_size, [e.image for e in examples[:: max(1, len(examples) // args.timed)]], args)
    show_times(times)
    results = {"quality": quality, "ms": times, "holds": holds(quality, times)}
    return {"benchmark": "saliency", "images": len(examples)} | results


def choose(names: list[str] | None) -> dict[str, Method]:
    models = {name: model for name, model in models_by_method(Config).items() if issubclass(model, PhotoSaliency)}
    if unknown := set(names or ()) - set(models):
        raise UserError(f"--methods {' '.join(unknown)}: no such method; there are: {', '.join(models)}")
    return {name: models[name]() for name in (models if names is None else names)}


def read_method(params: Path) -> dict[str, Method]:
    method = load_section("saliency", Config, params)
    if not isinstance(method, PhotoSaliency | TokenCutConfig):
        raise UserError(f"{params}: saliency.method = {method.method!r} maps no photograph")
    return {method.method: method}


def scorer(method: Method) -> Score:
    if isinstance(method, TokenCutConfig):
        return lambda image: method.compute([image])[0]
    return method.compute


def at_full_size(method: Method) -> Method:
    return method.model_copy(update={"max_side": 4096})


def load(data: Path, limit: int | None) -> list[Example]:
    paths = sorted((data / "images").glob("*.jpg"))[:limit]
    if not paths:
        raise UserError(f"{data}: no photographs under images/")
    return [
        Example(path.stem, read_image(path), read_mask(data / "masks" / f"{path.stem}.png") > 127) for path in paths
    ]


def draw(seed: int) -> Example:
    """One textured ellipse off the margin, on a background of two other textures."""
    rng = np.random.default_rng(seed)
    height, width = 240, 320
    middle, axes = (rng.integers(90, 230), rng.integers(80, 160)), rng.integers(30, 75, 2).tolist()
    mask = cv2.ellipse(np.zeros((height, width), np.uint8), [int(c) for c in middle], axes, 30.0, 0, 360, 1, -1)
    labels = np.where(mask > 0, 2, (np.arange(height) > 150)[:, None].astype(int))
    texture = cv2.GaussianBlur(rng.normal(0, 60, (height, width, 3)), (5, 5), 0)
    return Example(
        f"drawn-{seed}", np.clip(rng.integers(40, 216, (3, 3))[labels] + texture, 0, 255).astype(np.uint8), mask > 0
    )


def assess(name: str, score: Score, examples: list[Example], pictures: Path | None) -> dict[str, float]:
    """Max F (beta^2 0.3) of mean precision and recall over 256 thresholds, MAE, area under the mean ROC."""
    curves, errors = [], []
    for example in track(examples, label=name):
        scores = stretch_to(score(example.image), example.mask.shape)
        curves.append(measure_curve(scores, example.mask))
        errors.append(np.abs(scores / 255.0 - example.mask).mean())
    precision, recall, false_alarms = np.mean(curves, axis=0)
    f = 1.3 * precision * recall / np.maximum(0.3 * precision + recall, 1e-9)
    if pictures:
        each = np.array(curves)[:, :, int(f.argmax())]
        f_each = 1.3 * each[:, 0] * each[:, 1] / np.maximum(0.3 * each[:, 0] + each[:, 1], 1e-9)
        save_sheets(pictures, name, score, [examples[i] for i in np.argsort(f_each, kind="stable")])
    area = float(np.trapezoid(np.append(recall[::-1], 1), np.append(false_alarms[::-1], 1)))
    return {"max_F": float(f.max()), "MAE": float(np.mean(errors)), "AUC": area, "threshold": int(f.argmax())}


def measure_curve(scores: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Precision, recall and false alarm rate (3, 256) of `scores >= t` for every t."""
    inside = np.bincount(scores[mask], minlength=256)[::-1].cumsum()[::-1]
    outside = np.bincount(scores[~mask], minlength=256)[::-1].cumsum()[::-1]
    precision = np.where(inside + outside > 0, inside / np.maximum(inside + outside, 1), 1)
    return np.stack([precision, inside / max(1, mask.sum()), outside / max(1, (~mask).sum())])


def stretch_to(scores: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    return scores if scores.shape == shape else cv2.resize(scores, shape[::-1], interpolation=cv2.INTER_LINEAR)


def save_sheets(folder: Path, name: str, score: Score, ordered: list[Example]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for title, chosen in (("worst", ordered[:10]), ("best", ordered[-10:])):
        rows = [
            np.hstack([thumbnail(part) for part in (e.image, score(e.image), e.mask * np.uint8(255))]) for e in chosen
        ]
        sheet = np.hstack([np.vstack(rows[:5]), np.vstack(rows[5:])]) if len(rows) == 10 else np.vstack(rows)
        cv2.imwrite(str(folder / f"{name}_{title}.png"), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def thumbnail(image: np.ndarray) -> np.ndarray:
    color = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return cv2.resize(color, (160, 120), interpolation=cv2.INTER_AREA)


def compare_times(scores: dict[str, Score], images: list[np.ndarray], args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds an image and core: RBD at 224x224, everything else at 481x321."""
    from skimage.segmentation import felzenszwalb

    candidates = {}
    for name, score in (scores | {PEER: partial(felzenszwalb, scale=100, sigma=0.5, min_size=200)}).items():
        size = RBD_SIZE if name == "rbd" else RC_SIZE
        resized = [cv2.resize(image, size, interpolation=cv2.INTER_CUBIC) for image in images[: args.timed]]
        candidates[name] = partial(score_all, score, resized)
    seconds = alternate(candidates, args.rounds)
    return {name: taken / min(args.timed, len(images)) * 1000 for name, taken in seconds.items()}


def score_all(score: Score, images: list[np.ndarray]) -> None:
    for image in images:
        score(image)


def holds(quality: dict[str, dict[str, float]], times: dict[str, float]) -> dict[str, bool]:
    held = {f"{name} in time": times[name] <= target for name, target in TARGETS.items() if name in times}
    if "rc" in quality:
        held["rc max F"] = quality["rc"]["max_F"] >= 0.60
    if "ensemble" in quality:
        for name in sorted(quality.keys() - {"ensemble"}):
            held[f"ensemble beats {name}"] = quality["ensemble"]["max_F"] > quality[name]["max_F"]
    return held


def show_quality(quality: dict[str, dict[str, float]]) -> None:
    columns = ("max F", "at", "MAE", "AUC", "published max F", "MAE")
    table = Table("method", *columns, title="quality (published: Borji et al., TIP 2015, on ECSSD)")
    for name, row in quality.items():
        published = [f"{value:.3f}" for value in read_published()["ecssd"].get(name, {}).values()] or ["", ""]
        numbers = [f"{row['max_F']:.4f}", f"{row['threshold']}", f"{row['MAE']:.4f}", f"{row['AUC']:.4f}"]
        table.add_row(name, *numbers, *published)
    Console(width=110).print(table)


def show_times(times: dict[str, float]) -> None:
    table = Table("method", "ms an image", "target", f"x {PEER}", title="one core; 481x321, RBD 224x224")
    for name, taken in times.items():
        target = f"{TARGETS[name]:.0f}" if name in TARGETS else ""
        table.add_row(name, f"{taken:.2f}", target, f"{times[PEER] / taken:.1f}")
    Console(width=110).print(table)
