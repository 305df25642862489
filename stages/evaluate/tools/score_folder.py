"""Scoring a folder of predictions in the benchmark's format, without the rest of the pipeline."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stages.core.errors import UserError
from stages.core.metrics.counting import CountingSettings, MapPair, count_images
from stages.core.metrics.counts import ALL, Counts
from stages.core.metrics.matching import Match, read_match, write_match
from stages.core.metrics.scores import score
from stages.core.metrics.thresholds import Thresholds
from stages.core.png_files import read_mask
from stages.core.words import how_many
from stages.evaluate.caveats import many_to_one, title
from stages.evaluate.protocols.definitions import PROTOCOLS, check_match, check_sizes
from stages.evaluate.rules import ProtocolName
from stages.evaluate.tools.pairing import Triple, pair_files
from stages.evaluate.tools.sizes import count_classes, count_clusters, read_prediction

_SHOWN = 5
"""Files that are left out and named."""


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


class FileMapLoader:
    """Loads the files of one image."""

    def __init__(self, thresholds: Thresholds | None) -> None:
        self._thresholds = thresholds

    def __call__(self, files: Triple) -> MapPair:
        """Load mask, prediction and, for thresholds, scores."""
        true, pred = read_mask(files.mask).astype(np.uint16), read_prediction(files.prediction).astype(np.uint16)
        ranks = None
        if self._thresholds is not None and files.scores is not None:
            ranks = self._thresholds.rank(_read_scores(files.scores, pred.shape))
        return MapPair(true, pred, ranks, str(files.mask), str(files.prediction))


def score_folder(request: Request) -> dict[str, Any]:
    """Score a folder.

    Returns:
        `scores` with keys and percent as in metrics.json, `match`, `curve` (one entry per threshold) and `protocol`.

    Raises:
        UserError: Everything that keeps the images from being scored, counted and listed.
    """
    pairing = pair_files(request.ground_truth, request.predictions, bool(request.thresholds))
    triples = pairing.triples
    _report_left_out(pairing.left_out)
    masks, predictions = [files.mask for files in triples], [files.prediction for files in triples]
    classes = request.classes or count_classes(request.ground_truth, masks, request.ignore)
    if (clusters := request.clusters) is None:
        is_fixed = PROTOCOLS[request.protocol].is_one_to_one
        clusters = classes if is_fixed else count_clusters(request.predictions, predictions, classes)
    check_sizes(request.protocol, clusters, classes)
    thresholds = Thresholds(request.thresholds) if request.thresholds else None
    settings = CountingSettings(classes, clusters, request.ignore, len(thresholds) if thresholds else 1)
    counts = count_images(triples, FileMapLoader(thresholds), settings, "score", pairing.problems)
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
        "protocol": {
            **_describe(request, counts, request.thresholds[best] if request.thresholds else None),
            "left_out": len(pairing.left_out),
        },
        "match": write_match(matches[best]),
        "curve": [
            {"threshold": value, **_without_gaps(entry)}
            for value, entry in zip(request.thresholds, curve, strict=False)
        ],
    }


def _report_left_out(files: Sequence[str]) -> None:
    if files:
        shown = ", ".join(files[:_SHOWN]) + (" ..." if len(files) > _SHOWN else "")
        print(f"score: {how_many(len(files), 'file')} left out, no PNG: {shown}", file=sys.stderr, flush=True)


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


def _find_matches(request: Request, counts: Counts) -> list[Match]:
    if request.match is None:
        return [PROTOCOLS[request.protocol].find_match(counts, level) for level in range(counts.levels)]
    match = read_match(request.match, counts.clusters, counts.classes)
    check_match(request.protocol, match, counts)
    return [match] * counts.levels


def _describe(request: Request, counts: Counts, threshold: float | None) -> dict[str, Any]:
    protocol = PROTOCOLS[request.protocol]
    chosen = "none: predictions stand as they are" if threshold is None else "given"
    is_matched_here = not request.match and not protocol.is_identity
    caveats = {
        "matched_on_scored_split": "these masks" if is_matched_here else "",
        "many_to_one": many_to_one(request.protocol, counts.clusters, counts.classes),
        "threshold_by_masks": "these masks" if len(request.thresholds) > 1 else "",
    }
    return {
        "name": request.protocol,
        "title": title(request.protocol, "these masks" if is_matched_here else None, None),
        "caveats": {name: what for name, what in caveats.items() if what},
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
