"""One label per pixel: its nearest centroid where the attention says foreground, background elsewhere."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.categories import Clusters
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.models import read_model
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.images.inference import iterate_batches
from stages.core.metrics.otsu import otsu_of_scores
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.progress import track
from stages.pseudolabel.methods.nearest_centroid.config import NearestCentroidConfig
from stages.pseudolabel.validation import ThresholdCurve


def label(config: NearestCentroidConfig, index: ImageIndex, clusters: Clusters) -> Iterator[LabelMap]:
    """The maps of all photographs that were clustered, in the index's order."""
    assignments = clusters.assignments
    rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
    cluster_of = {image_id: int(cluster) for image_id, region, cluster in rows if region == 0}
    labeler = _restore(config, clusters)
    clustered = index.with_ids(cluster_of)
    threshold = _find_threshold(config, labeler, clustered, index)
    print(f"pseudolabel: foreground from an attention of {threshold:.2f} on", flush=True)
    for position, found in enumerate(labeler.iterate(clustered, "labels")):
        photo = clustered[position]
        category = found.category if config.category == "pixel" else np.uint16(cluster_of[photo.image_id] + 1)
        painted = np.where(found.score < threshold, np.uint16(0), category)
        yield LabelMap(photo.image_id, photo.height, photo.width, painted)


def _find_threshold(
    config: NearestCentroidConfig, labeler: "_Labeler", clustered: ImageIndex, index: ImageIndex
) -> float:
    foreground = config.foreground
    if foreground.rule == "fixed":
        return foreground.value
    if foreground.rule == "validation":
        return _choose_on_masks(labeler, index)
    drawn = labeler.iterate(clustered.draw(foreground.photographs), "threshold")
    return otsu_of_scores((100 * found.score).astype(np.uint8) for found in drawn)


def _choose_on_masks(labeler: "_Labeler", index: ImageIndex) -> float:
    labels = read_labels()
    masked = index.in_splits("validation").with_ids(
        image_id for image_id in index.image_ids if labels.mask_path(image_id)
    )
    if not len(masked):
        raise UserError("pseudolabel.foreground.rule: validation, but no validation photograph has a mask; take otsu")
    numbers = labeler.network.numbers
    curve = ThresholdCurve(max(labels.classes), 1 if numbers is None else int(numbers.max()))
    for image_id, found in zip(masked.image_ids, labeler.iterate(masked, "threshold"), strict=True):
        true = labels.read_mask(image_id).astype(np.uint16)
        curve.add(image_id, *found.resize(true.shape), true)
    return curve.best


class PixelPrediction(NamedTuple):
    """Category and attention of a photograph's pixels."""

    category: npt.NDArray[np.uint16]
    """(h, w) cluster_id + 1."""
    score: npt.NDArray[np.float32]
    """(h, w) attention in 0..1."""

    def resize(self, size: tuple[int, ...]) -> "PixelPrediction":
        """Both at another size: categories by nearest neighbor, the score bilinearly."""
        category = torch.from_numpy(self.category.astype(np.float32))[None, None]
        score = torch.from_numpy(self.score)[None, None]
        return PixelPrediction(
            F.interpolate(category, size, mode="nearest")[0, 0].numpy().astype(np.uint16),
            F.interpolate(score, size, mode="bilinear", align_corners=False)[0, 0].numpy(),
        )


class AttendedPixels(nn.Module):
    """Photographs to the nearest centroid (B, h, w), ids from 1, and the attention (B, h, w) of every pixel."""

    def __init__(self, features: FeatureNetwork, categories: "_Categories | None") -> None:
        super().__init__()
        self.features = features
        self.centroids = nn.Buffer(F.normalize(categories.centroids, dim=1)) if categories else None
        self.numbers = nn.Buffer(categories.numbers) if categories else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines decide; the centroids' own length does not count."""
        features, weights = self.features.attend(images)
        score = weights.mean(1)
        if self.centroids is None or self.numbers is None:
            return torch.ones_like(score), score
        cosines = torch.einsum("bdhw,kd->bkhw", F.normalize(features, dim=1), self.centroids)
        return self.numbers[cosines.argmax(1)], score


class _Categories(NamedTuple):
    """What pixels are compared with."""

    centroids: Tensor
    """(k, D)"""
    numbers: Tensor
    """(k,) of each, from 1; those of clusters that are cut are left out."""


class _Labeler(NamedTuple):
    """A network that labels pixels, and how it wants to see photographs."""

    network: AttendedPixels
    expects: InputCard
    short_side: int

    def iterate(self, index: ImageIndex, label: str) -> Iterator[PixelPrediction]:
        """What the network says of each photograph's pixels, in the index's order; `label` stands in the progress."""
        device, prepare = inference_device(), partial(resize_short_side, side=self.short_side)
        self.network.to(device).eval()
        with torch.inference_mode():
            for seen in track(iterate_batches(index, prepare, self.expects, device, 1), len(index), label=label):
                category, score = self.network(seen.images)
                size = seen.images.shape[-2:]
                yield PixelPrediction(category[0].cpu().numpy().astype(np.uint16), score[0].cpu().numpy()).resize(size)


def _restore(config: NearestCentroidConfig, clusters: Clusters) -> _Labeler:
    card, states = read_model("attend", ["backbone"])
    if card.parts.attention is None:
        raise UserError(f"pseudolabel: the model of {card.method} has no attention; take a recipe that trains one")
    features = restore_features(card, states, is_attended=True)
    categories = None if config.category == "image" else _compare_with(clusters, features)
    return _Labeler(AttendedPixels(features, categories), card.input, config.resize)


def _compare_with(clusters: Clusters, features: FeatureNetwork) -> _Categories:
    """The centroids, if they are of the network's own pixels."""
    centroids = clusters.centroids
    remedy = "set extract.embedding: backbone and extract.feature_map: null, or pseudolabel.category: image"
    centroids.check_space(features.feature_map, remedy)
    if centroids.embeddings.shape[1] != features.size:
        raise UserError(
            f"pseudolabel.category: centroids have {centroids.embeddings.shape[1]} channels, pixels {features.size}; "
            "run `dvc repro`, which makes them of this model"
        )
    kept = np.setdiff1d(np.arange(len(centroids.embeddings)), clusters.cut)
    return _Categories(torch.tensor(centroids.embeddings[kept]), torch.tensor(kept + 1))
