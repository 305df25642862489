"""Scoring a folder of predictions in the benchmark's format, without the rest of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.errors import UserError
from stages.core.image_files import read_mask
from stages.core.metrics.counting import Maps, Scale, count_images, list_problems
from stages.core.metrics.counts import ALL, Counts
from stages.core.metrics.matching import Match, read_match, write_match
from stages.core.metrics.scores import score
from stages.core.metrics.thresholds import Thresholds
from stages.core.progress import track
from stages.evaluate.protocols.definitions import PROTOCOLS, check_match, check_sizes
from stages.evaluate.protocols.rules import ProtocolName


class Request(NamedTuple):
    """What is to be scored, and how."""

    ground_truth: Path
    predictions: Path
    protocol: ProtocolName = "imagenet_s"
    classes: int | None = None
    """Classes C; None takes the highest id of the masks."""
    clusters: int | None = None
    """Predicted ids are 1..clusters; None takes C, or the highest predicted id where the protocol allows more."""
    match: Path | None = None
    """Match file; None finds the match on these masks, anew at every threshold."""
    thresholds: tuple[float, ...] = ()
    """Empty: predictions stand as they are."""
    ignore: int = 1000
    boundary: bool = True


class Triple(NamedTuple):
    """Files of one image."""

    mask: Path
    prediction: Path
    scores: Path | None


class FileMaps:
    """Loads the files of one image."""

    def __init__(self, thresholds: Thresholds | None) -> None:
        self._thresholds = thresholds

    def __call__(self, files: Triple) -> Maps:
        """Load mask, prediction and, for thresholds, scores."""
        true, pred = read_mask(files.mask).astype(np.uint16), read_mask(files.prediction).astype(np.uint16)
        ranks = None
        if self._thresholds is not None and files.scores is not None:
            ranks = self._thresholds.rank(_read_scores(files.scores, pred.shape))
        return Maps(true, pred, ranks, str(files.mask), str(files.prediction))


def score_folder(request: Request) -> dict[str, Any]:
    """Score a folder.

    Returns:
        `scores` with keys and percent as in metrics.json, `match`, `curve` (one entry per threshold) and `protocol`.

    Raises:
        UserError: Everything that keeps the images from being scored, counted and listed.
    """
    triples, problems = _pair_files(request)
    classes = request.classes or _highest_id([files.mask for files in triples], request.ignore)
    clusters = _choose_clusters(request, classes, triples)
    check_sizes(request.protocol, clusters, classes)
    thresholds = Thresholds(request.thresholds) if request.thresholds else None
    scale = Scale(classes, clusters, request.ignore, len(thresholds) if thresholds else 1)
    counts = count_images(triples, FileMaps(thresholds), scale, "score", problems)
    if not counts.true_area[ALL, 1:].any():
        raise UserError(f"{request.ground_truth}: the masks hold no class at all, only 0 and {request.ignore}")
    matches = _find_matches(request, counts)
    curve = [
        PROTOCOLS[request.protocol].summarize(score(counts, match, level), request.boundary)
        for level, match in enumerate(matches)
    ]
    best = int(np.argmax([entry["mIoU"] or 0.0 for entry in curve]))
    return {
        "scores": _without_gaps(curve[best]),
        "protocol": _describe(request, counts, request.thresholds[best] if request.thresholds else None),
        "match": write_match(matches[best]),
        "curve": [
            {"threshold": value, **_without_gaps(entry)}
            for value, entry in zip(request.thresholds, curve, strict=False)
        ],
    }


def _pair_files(request: Request) -> tuple[list[Triple], list[str]]:
    """Masks and predictions under the same name, and a line for every name without its partner."""
    masks, predictions = (_list_files(folder, ".png") for folder in (request.ground_truth, request.predictions))
    for folder, found in ((request.ground_truth, masks), (request.predictions, predictions)):
        if not found:
            raise UserError(f"{folder}: holds no PNG")
    scores = _list_files(request.predictions, ".npy")
    if request.thresholds and not scores:
        raise UserError(f"{request.predictions}: thresholds need scores, but there is no .npy beside the predictions")
    problems = [
        f"{mask}: no prediction {request.predictions / name}.png"
        for name, mask in masks.items()
        if name not in predictions
    ]
    problems += [
        f"{path}: no mask {request.ground_truth / name}.png" for name, path in predictions.items() if name not in masks
    ]
    shared = [name for name in masks if name in predictions]
    if request.thresholds:
        problems += [f"{predictions[name]}: no scores {name}.npy beside it" for name in shared if name not in scores]
        shared = [name for name in shared if name in scores]
    if not shared:
        raise UserError(list_problems(problems, "no prediction has the name of a mask"))
    return [Triple(masks[name], predictions[name], scores.get(name)) for name in shared], problems


def _list_files(folder: Path, suffix: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    paths = sorted(path for path in folder.rglob(f"*{suffix}") if path.is_file())
    return {str(path.relative_to(folder).with_suffix("")): path for path in paths}


def _read_scores(path: Path, shape: tuple[int, ...]) -> np.ndarray[Any, np.dtype[np.floating[Any]]]:
    try:
        scores = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path}: not a NumPy array ({error})") from None
    if not isinstance(scores, np.ndarray) or scores.dtype.kind != "f" or scores.shape != shape:
        what = f"{scores.dtype} of shape {scores.shape}" if isinstance(scores, np.ndarray) else "not one array"
        raise UserError(f"{path}: scores are floating-point numbers of shape {shape}, found {what}")
    if np.isnan(scores).any():
        raise UserError(f"{path}: holds NaN")
    return scores


def _highest_id(paths: Sequence[Path], ignore: int) -> int:
    """Highest id other than the ignored one; files that cannot be read are left to the scoring, which lists them."""
    highest = 0
    for path in track(paths, label="find the classes"):
        try:
            ids = read_mask(path)
        except UserError:
            continue
        highest = max(highest, int(ids.max(initial=0, where=ids != ignore)))
    if not highest:
        raise UserError(
            f"{paths[0].parent}: no mask holds a class, only 0 and {ignore}; say how many there are with --classes"
        )
    return highest


def _choose_clusters(request: Request, classes: int, triples: Sequence[Triple]) -> int:
    if request.clusters is not None:
        return request.clusters
    if PROTOCOLS[request.protocol].is_one_to_one:
        return classes
    return max(classes, _highest_id([files.prediction for files in triples], -1))


def _find_matches(request: Request, counts: Counts) -> list[Match]:
    if request.match is None:
        return [PROTOCOLS[request.protocol].find_match(counts, level) for level in range(counts.levels)]
    match = read_match(request.match, counts.clusters, counts.classes)
    check_match(request.protocol, match, counts)
    return [match] * counts.levels


def _describe(request: Request, counts: Counts, threshold: float | None) -> dict[str, Any]:
    protocol = PROTOCOLS[request.protocol]
    chosen = "none: predictions stand as they are" if threshold is None else "given"
    return {
        "name": request.protocol,
        "classes": counts.classes,
        "clusters": counts.clusters,
        "images": counts.images,
        "pixels": int(counts.true_area[ALL].sum()),
        "ignore_id": request.ignore,
        "mean_over": protocol.denominator,
        "match": str(request.match)
        if request.match
        else "predicted ids are class ids"
        if protocol.is_identity
        else "these masks",
        "threshold": threshold,
        "threshold_source": "first best of the curve on these masks" if len(request.thresholds) > 1 else chosen,
    }


def _without_gaps(summary: dict[str, float | None]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in summary.items() if value is not None}
