"""Chooses the photographs that the report shows with masks and predictions, and draws them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from stages.core.config.splits import SPLITS
from stages.core.files import shorten_name
from stages.core.hashing import hash_bytes
from stages.core.metrics.kernels import UInt8, UInt16
from stages.evaluate import Config
from stages.evaluate.inputs import Inputs, cut_prediction
from stages.evaluate.protocols.evaluation import Evaluation
from stages.evaluate.report.pictures import Panels, apply_match, make_panels

_POOL = 400
"""Photographs among which the best and the worst are looked for."""


class Overlay(NamedTuple):
    """One photograph that is shown."""

    image_id: str
    chosen_as: str
    """Best, worst or drawn at random."""
    iou: float | None
    """Mean IoU in percent over the ids of this photograph."""
    true_ids: list[int]
    pred_ids: list[int]
    """Class ids with masks; without, the numbers that categories are shown by."""
    panels: Panels

    @property
    def file_name(self) -> str:
        """Name of its picture in `overlays/`; no other photograph's is the same."""
        flat = self.image_id.replace("/", "__")
        apart = f"~{hash_bytes(self.image_id.encode())[:12]}" if "__" in self.image_id else ""
        return shorten_name(flat + apart, ".jpg")


def choose_split(inputs: Inputs, scored: Sequence[str]) -> str | None:
    """The split that is pictured: test, validation or train, with masks if any split has them."""
    return next((split for split in reversed(SPLITS) if (split in scored if scored else inputs.predicted(split))), None)


def draw_overlays(config: Config, inputs: Inputs, evaluation: Evaluation) -> list[Overlay]:
    """Picture the best, the worst and some photographs drawn at random, a third each; without masks only the latter."""
    split = choose_split(inputs, list(evaluation.splits))
    if split is None or not config.overlays:
        return []
    ids = [image_id for image_id, _ in inputs.masked(split)] if evaluation.has_scores else inputs.predicted(split)
    pool = sorted(ids, key=lambda image_id: hashlib.sha256(image_id.encode()).digest())[:_POOL]
    values = {
        image_id: _image_iou(*_matched(config, inputs, evaluation, image_id))
        for image_id in pool
        if evaluation.has_scores
    }
    place = {image_id: number for number, image_id in enumerate(inputs.images.image_ids)}
    return [
        _draw(config, inputs, evaluation, image_id, inputs.images.read(place[image_id]))._replace(
            chosen_as=why, iou=values.get(image_id)
        )
        for image_id, why in _choose(pool, values, config.overlays).items()
    ]


def _choose(pool: Sequence[str], values: dict[str, float], count: int) -> dict[str, str]:
    ranked = sorted(values, key=lambda image_id: (-values[image_id], image_id))
    third = min(count, len(ranked)) // 3
    chosen = dict.fromkeys(ranked[:third], "best") | dict.fromkeys(ranked[len(ranked) - third :], "worst")
    rest = [image_id for image_id in pool if image_id not in chosen][: count - len(chosen)]
    return chosen | dict.fromkeys(rest, "drawn at random")


def _matched(config: Config, inputs: Inputs, evaluation: Evaluation, image_id: str) -> tuple[UInt16, UInt16, int]:
    """True ids, predicted class ids at the threshold, and the ignored id."""
    true = inputs.labels.read_mask(image_id).astype(np.uint16)
    return (
        true,
        apply_match(cut_prediction(inputs.predictions[image_id], evaluation.threshold), evaluation.match),
        config.ignore_id,
    )


def _image_iou(true: UInt16, pred: UInt16, ignore: int) -> float:
    kept = true != ignore
    true, pred = true[kept], pred[kept]
    ids = np.union1d(true, pred)
    shared = [
        np.count_nonzero((true == value) & (pred == value)) / np.count_nonzero((true == value) | (pred == value))
        for value in ids
    ]
    return 100 * float(np.mean(shared)) if shared else 0.0


def _draw(config: Config, inputs: Inputs, evaluation: Evaluation, image_id: str, photo: UInt8) -> Overlay:
    if not evaluation.has_scores:
        pred = inputs.naming.apply(cut_prediction(inputs.predictions[image_id], evaluation.threshold))
        return Overlay(image_id, "", None, [], _object_ids(pred, -1), make_panels(photo, pred))
    true, pred, ignore = _matched(config, inputs, evaluation, image_id)
    panels = make_panels(photo, pred, true, ignore)
    return Overlay(image_id, "", None, _object_ids(true, ignore), _object_ids(pred, ignore), panels)


def _object_ids(ids: UInt16, ignore: int) -> list[int]:
    """Ids other than background, largest first."""
    values, areas = np.unique(ids, return_counts=True)
    order = np.lexsort((values, -areas))
    return [int(values[number]) for number in order if values[number] not in (0, ignore)]
