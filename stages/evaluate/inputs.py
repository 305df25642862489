"""Opens the artifacts that `evaluate` reads."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.clusters import Assignments, read_assignments, read_centroids
from stages.core.artifacts.image_index import ImageIndex, read_images
from stages.core.artifacts.label_maps import LabelMap, LabelMaps
from stages.core.artifacts.labels import Labels, count_rejected_masks, read_class_map, read_labels
from stages.core.artifacts.models import read_model_card
from stages.core.artifacts.names import Naming, read_naming
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.config.segmenter import SegmenterCard
from stages.core.config.splits import SPLITS
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.images.working_size import resize_labels
from stages.core.metrics.counting import MapPair, list_problems
from stages.core.metrics.thresholds import Thresholds
from stages.core.words import how_many
from stages.evaluate.rules import Threshold

PREDICTIONS = ARTIFACTS / "predict"


class Inputs(NamedTuple):
    """The opened artifacts that `evaluate` reads."""

    images: ImageIndex
    labels: Labels
    predictions: LabelMaps
    assignments: Assignments
    """Of the train split."""
    segmenter: SegmenterCard | None
    """The segmenter's part of finetune's model card."""
    clusters: int
    """Predicted ids are 0..clusters."""
    naming: Naming
    """What a person calls the categories; changes no score."""
    rejected_masks: int
    """Files that `index` could not use as masks: what they show is not scored."""

    @property
    def classes(self) -> int:
        """True ids are 0..classes."""
        return max(self.labels.classes, default=0)

    def predicted(self, split: str) -> list[str]:
        """Ids of the photographs of a split that were segmented, in order."""
        if not self.images.has(split):
            return []
        return [image_id for image_id in self.images.in_splits(split).image_ids if image_id in self.predictions]

    def masked(self, split: str) -> list[tuple[str, str]]:
        """Photographs of a segmented split that have a mask, with the mask's path.

        Raises:
            UserError: Some have no prediction; names them.
        """
        if not self.predicted(split):
            return []
        ids = self.images.in_splits(split).image_ids
        root = data_root()
        pairs = [(image_id, str(root / mask)) for image_id in ids if (mask := self.labels.mask_path(image_id))]
        if missing := [
            f"{image_id}: no prediction in artifacts/predict"
            for image_id, _ in pairs
            if image_id not in self.predictions
        ]:
            count = how_many(len(missing), "photograph")
            raise UserError(list_problems(missing, f"{count} of split {split} with a mask but no prediction"))
        return pairs


def read_inputs() -> Inputs:
    """Open everything that the stage depends on.

    Raises:
        UserError: Something is missing, broken or of another version.
    """
    segmenter = read_model_card("finetune").segmenter
    clusters = segmenter.clusters if segmenter else len(read_centroids().sizes)
    images = read_images()
    assignments = assignments_of_train(read_assignments(), images)
    naming = read_naming(clusters)
    predictions = LabelMaps(PREDICTIONS)
    rejected = count_rejected_masks()
    return Inputs(images, read_labels(), predictions, assignments, segmenter, clusters, naming, rejected)


def assignments_of_train(assignments: Assignments, images: ImageIndex) -> Assignments:
    """What clusters are judged and shown by: not photographs that the predictions are scored on."""
    train = set(images.in_splits("train").image_ids) if images.has("train") else set()
    rows = np.array([image_id in train for image_id in assignments.image_ids], bool)
    return assignments.take(rows)


def formed_clusters() -> int:
    """How many clusters the stage `cluster` formed; a segmenter may know parts of them, or fewer."""
    return len(read_centroids().sizes)


def splits_with_masks(inputs: Inputs) -> dict[str, list[tuple[str, str]]]:
    """The segmented splits that can be scored."""
    return {split: pairs for split in SPLITS if (pairs := inputs.masked(split))}


def cut_prediction(predicted: LabelMap, threshold: Threshold) -> npt.NDArray[np.uint16]:
    """(H, W) predicted ids of a photograph; those whose score is below the threshold are background."""
    ids = np.asarray(predicted.map).astype(np.uint16)
    if threshold.hundredths is None or predicted.score is None:
        return ids
    return np.where(predicted.score < threshold.hundredths, np.uint16(0), ids)


class StoredMapLoader:
    """Loads a photograph's mask and prediction; each process opens the predictions for itself.

    Args:
        predictions: Where they lie.
        thresholds: By which scores are ranked; None where there are none.
        mask_ids: Class of each value of a mask that is no class id itself.
        size: Height and width that both are resized to; None for the photograph's own.
    """

    def __init__(
        self,
        predictions: Path,
        thresholds: Thresholds | None,
        mask_ids: dict[int, int] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._predictions, self._thresholds, self._mask_ids, self._size = predictions, thresholds, mask_ids, size

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_maps"}

    @cached_property
    def _maps(self) -> LabelMaps:
        return LabelMaps(self._predictions)

    def __call__(self, item: tuple[str, str]) -> MapPair:
        """Load the maps of one image id and mask path."""
        image_id, mask_path = item
        predicted = self._maps[image_id]
        ranks = None
        if self._thresholds is not None:
            if predicted.score is None:
                raise UserError(
                    f"{self._predictions}: {image_id} has no scores, but others have; run `dvc repro predict`"
                )
            ranks = self._thresholds.rank_stored(predicted.score)
        true = read_class_map(Path(mask_path), self._mask_ids).astype(np.uint16)
        pred = np.ascontiguousarray(predicted.map).astype(np.uint16)
        if self._size and true.shape == pred.shape:  # else it is told below that they do not fit together
            true, pred = resize_labels(true, self._size), resize_labels(pred, self._size)
            ranks = None if ranks is None else resize_labels(ranks, self._size)
        return MapPair(true, pred, ranks, mask_path, f"{self._predictions}: prediction of {image_id}")
