"""Evaluator of distance matching: nearest neighbors among regions of the train split's true masks, no training.

Source: LUSS, distance matching protocol; settings as in PASS's scripts. There the evaluator still matches ids with
classes on validation; here ids are classes.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.labels import Labels, read_class_map
from stages.core.artifacts.models import read_model
from stages.core.errors import UserError
from stages.core.metrics.counting import CountingSettings, MapPair, count_images
from stages.core.metrics.matching import match_identity
from stages.core.metrics.scores import score
from stages.core.progress import track
from stages.evaluate import Config, DistanceMatchingConfig
from stages.evaluate.evaluators.distance_matching import (
    Bank,
    Float32,
    Voting,
    describe_regions,
    join_banks,
    segment_by_neighbors,
)
from stages.evaluate.evaluators.evaluator import Evaluator, EvaluatorResult
from stages.evaluate.inputs import Inputs
from stages.evaluate.protocols.definitions import PROTOCOLS
from stages.evaluate.protocols.evaluation import Evaluation

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork


class PixelFeatures:
    """The pretrained network's features of photographs; each process restores it for itself."""

    def __init__(self, rules: DistanceMatchingConfig) -> None:
        self.rules = rules

    def __getstate__(self) -> dict[str, Any]:
        return {"rules": self.rules}

    @cached_property
    def _network(self) -> tuple[FeatureNetwork, Any]:
        from stages.core.engine.devices import inference_device
        from stages.core.nets.features import restore_features

        card, states = read_model("pretrain", ["backbone"])
        return restore_features(card, states, self.rules.feature_map).to(inference_device()).eval(), card.input

    def __call__(self, index: ImageIndex, position: int) -> Float32:
        """(D, enlarge h, enlarge w) of a photograph."""
        import torch

        from stages.core.images.crops import resize_short_side
        from stages.core.images.inference import normalize
        from stages.core.nets.attention import enlarge_map

        network, expects = self._network
        pixels = resize_short_side(index.read(position), self.rules.short_side).transpose(2, 0, 1)
        device = next(network.parameters()).device
        with torch.inference_mode():
            images = normalize(torch.from_numpy(np.ascontiguousarray(pixels))[None].to(device), expects)
            enlarged = enlarge_map(network(images).float(), self.rules.enlarge)[0]
        return np.ascontiguousarray(enlarged.cpu().numpy())


class NeighborMapLoader:
    """Loads a photograph's mask and segments the photograph by its neighbors."""

    def __init__(self, features: PixelFeatures, bank: Bank, index: ImageIndex, mask_ids: dict[int, int] | None) -> None:
        self._features, self._bank, self._index, self._mask_ids = features, bank, index, mask_ids
        self._place = {image_id: number for number, image_id in enumerate(index.image_ids)}

    def __call__(self, item: tuple[str, str]) -> MapPair:
        """Load the maps of one image id and mask path."""
        image_id, mask_path = item
        true = read_class_map(Path(mask_path), self._mask_ids).astype(np.uint16)
        rules = self._features.rules
        voting = Voting(rules.neighbors, rules.temperature)
        features = self._features(self._index, self._place[image_id])
        pred = segment_by_neighbors(features, self._bank, (true.shape[0], true.shape[1]), voting)
        return MapPair(true, pred, None, mask_path, f"neighbors of {image_id}")


def score_by_neighbors(config: Config, rules: DistanceMatchingConfig, inputs: Inputs, split: str) -> dict[str, float]:
    """MIoU and F in percent of a split that was segmented by the masks of the train split.

    Raises:
        UserError: No training photograph has a mask.
    """
    features = PixelFeatures(rules)
    bank = _fill_bank(features, inputs.images, inputs.labels, config.ignore_id)
    load = NeighborMapLoader(features, bank, inputs.images, inputs.labels.mask_ids)
    settings = CountingSettings(inputs.classes, inputs.classes, config.ignore_id)
    counts = count_images(inputs.masked(split), load, settings, f"neighbors in {split}")
    found = PROTOCOLS["given"].summarize(score(counts, match_identity(inputs.classes, inputs.classes)), False)
    return {f"neighbors_{name}": float(found[name] or 0) for name in ("mIoU", "F")}


def _fill_bank(features: PixelFeatures, images: ImageIndex, labels: Labels, ignore: int) -> Bank:
    train = images.in_splits("train")
    masked = [number for number, image_id in enumerate(train.image_ids) if labels.mask_path(image_id)]
    if not masked:
        raise UserError(
            "evaluate.neighbors: no photograph of the train split has a mask; set it to null, or put masks there, in "
            "ImageNet-S's layout into data/train-segmentation/ or data/train-semi-segmentation/"
        )
    return join_banks(
        describe_regions(features(train, number), labels.read_mask(train[number].image_id).astype(np.uint16), ignore)
        for number in track(masked, label="bank of regions")
    )


def _measure(config: Config, inputs: Inputs, evaluation: Evaluation) -> EvaluatorResult[None]:
    """Every scored split, segmented by its neighbors."""
    rules = config.neighbors
    if rules is None:
        return EvaluatorResult({}, None)
    return EvaluatorResult(
        {split: score_by_neighbors(config, rules, inputs, split) for split in evaluation.splits}, None
    )


NEIGHBORS = Evaluator(
    name="neighbors",
    needs=("pretrain",),
    measures=("neighbors_mIoU",),
    is_wanted=lambda config: config.neighbors is not None,
    measure=_measure,
    uses_labels="neighbors vote by masks of the train split",
)
