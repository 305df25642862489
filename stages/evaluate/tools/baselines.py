"""`python -m stages.evaluate.tools.baselines`: scores of trivial methods, which a result must beat.

The same foreground masks as in `artifacts/predict`, but every photograph's objects get the cluster of something cheap:
its mean color, its color histogram, or the features of the network before any training. Prints mIoU beside the
result's own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.shards import ARTIFACTS, read_json
from stages.core.cli import run_stage
from stages.core.errors import UserError
from stages.core.faiss_ops import kmeans, nearest, normalize_rows
from stages.core.image_files import UInt8
from stages.core.metrics.counting import CountingSettings, MapPair, count_images
from stages.core.metrics.scores import score
from stages.core.metrics.thresholds import Thresholds
from stages.core.progress import track
from stages.evaluate import Config
from stages.evaluate.inputs import PREDICTIONS, Inputs, StoredMapLoader, read_inputs, splits_with_masks
from stages.evaluate.protocols.definitions import PROTOCOLS

Float32 = npt.NDArray[np.float32]
Describe = Callable[[ImageIndex], Float32]

_BINS = 4
_RESTARTS, _ITERATIONS, _SEED = 10, 20, 0
_BATCH = 64


class PaintedMapLoader:
    """Loads a photograph's mask and prediction, all objects repainted with one id for the photograph."""

    def __init__(self, stored: StoredMapLoader, ids: dict[str, int]) -> None:
        self._stored, self._ids = stored, ids

    def __call__(self, item: tuple[str, str]) -> MapPair:
        """Load the maps of one image id and mask path."""
        maps = self._stored(item)
        foreground = maps.pred > 0 if maps.ranks is None else (maps.pred > 0) & (maps.ranks > 0)
        return maps._replace(pred=np.where(foreground, np.uint16(self._ids[item[0]]), np.uint16(0)), ranks=None)


def main(config: Config) -> None:
    """Print the baselines of the scored splits."""
    inputs = read_inputs()
    masked = splits_with_masks(inputs)
    if not masked or not inputs.images.has("train"):
        raise UserError("floors need photographs to cluster in split train and masks in another split")
    metrics = read_json(ARTIFACTS / "evaluate" / "metrics.json")
    rows = [("the result itself", {split: metrics[split]["mIoU"] for split in masked})]
    for name, describe in _descriptions().items():
        ids = _cluster(inputs, list(masked), describe)
        rows.append((name, _score(config, inputs, ids, metrics["protocol"]["threshold"])))
    _print(rows, list(masked))


def _descriptions() -> dict[str, Describe]:
    return {
        "mean color": partial(_describe_each, _mean_color),
        "color histogram": partial(_describe_each, _color_histogram),
        "untrained network": _untrained_features,
    }


def _describe_each(describe: Callable[[UInt8], Float32], index: ImageIndex) -> Float32:
    return np.stack([describe(index.read(place)) for place in track(range(len(index)), label="describe")])


def _mean_color(photo: UInt8) -> Float32:
    return np.asarray(photo.reshape(-1, 3).mean(0) / 255, np.float32)


def _color_histogram(photo: UInt8) -> Float32:
    bins = (photo.reshape(-1, 3).astype(np.int64) * _BINS) >> 8
    counts = np.bincount(bins @ np.array([_BINS**2, _BINS, 1]), minlength=_BINS**3)
    return np.asarray(np.sqrt(counts / counts.sum()), np.float32)


def _untrained_features(index: ImageIndex) -> Float32:
    """(N, L) spatial means of the segmenter's backbone with random weights."""
    import torch

    from stages.core.images.inference import iterate_batches
    from stages.core.nets.backbones import build_backbone

    card = read_model_card("finetune")
    torch.manual_seed(_SEED)
    backbone = build_backbone(card.parts.backbone).eval()
    prepare = partial(_prepare, side=card.input.size)
    with torch.inference_mode():
        seen = iterate_batches(index, prepare, card.input, torch.device("cpu"), _BATCH)
        parts = [backbone(batch.images).mean((2, 3)).numpy() for batch in seen]
    return normalize_rows(np.concatenate(parts))


def _prepare(photo: UInt8, side: int) -> UInt8:
    from stages.core.images.crops import center_crop, resize_short_side

    return center_crop(resize_short_side(photo, side), side)


def _cluster(inputs: Inputs, splits: list[str], describe: Describe) -> dict[str, int]:
    """Predicted id of every photograph of the scored splits: clusters of train, then the nearest center."""
    centroids = kmeans(
        describe(inputs.images.in_splits("train")), inputs.clusters, _RESTARTS, _ITERATIONS, _SEED
    ).centroids
    scored = inputs.images.in_splits(*splits)
    _, rows = nearest(describe(scored), centroids, 1)
    return {image_id: int(row) + 1 for image_id, row in zip(scored.image_ids, rows[:, 0], strict=True)}


def _score(config: Config, inputs: Inputs, ids: dict[str, int], threshold: float | None) -> dict[str, float]:
    masked = splits_with_masks(inputs)
    thresholds = None if threshold is None else Thresholds([threshold])
    stored = StoredMapLoader(PREDICTIONS, thresholds, inputs.labels.mask_ids, config.working_size)
    load = PaintedMapLoader(stored, ids)
    settings = CountingSettings(inputs.classes, inputs.clusters, config.ignore_id)
    counts = {split: count_images(pairs, load, settings, split) for split, pairs in masked.items()}
    protocol = PROTOCOLS[config.protocol]
    fitted = counts.get(protocol.fitted_on, next(iter(counts.values())))
    match = protocol.find_match(fitted, 0)
    return {split: float(protocol.summarize(score(each, match), False)["mIoU"] or 0) for split, each in counts.items()}


def _print(rows: list[tuple[str, dict[str, Any]]], splits: list[str]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("clusters of", title="mIoU with the same foreground masks")
    for split in splits:
        table.add_column(split, justify="right")
    for name, values in rows:
        table.add_row(name, *(f"{values[split]:.1f}" for split in splits))
    Console().print(table)


if __name__ == "__main__":
    run_stage("evaluate", Config, main)
