"""One label per pixel: its nearest centroid where the attention says foreground, background elsewhere."""

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.categories import Clusters
from stages.core.artifacts.clusters import OUT as CLUSTERS
from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMap
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.models import model_hash, read_model
from stages.core.artifacts.shards import read_manifest
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.hashing import hash_bytes
from stages.core.images.crops import resize_short_side
from stages.core.label_mapping import SHARD, LabelPlan
from stages.core.metrics.otsu import otsu_of_scores
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.network_mapping import Look, Shard, cut_shards, iterate_photographs, loaded_once, turn
from stages.pseudolabel.methods.nearest_centroid.config import NearestCentroidConfig
from stages.pseudolabel.validation import ThresholdCurve


def plan(config: NearestCentroidConfig, index: ImageIndex, clusters: Clusters) -> LabelPlan:
    """The maps of all photographs that were clustered; see `MappedLabels.plan`."""
    assignments = clusters.assignments
    rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
    cluster_of = {image_id: int(cluster) for image_id, region, cluster in rows if region == 0}
    source = _describe_source(config, clusters)
    _restore(source)  # What is wrong with it is said before the work.
    clustered = index.with_ids(cluster_of)
    threshold = _find_threshold(source, clustered, index)
    print(f"pseudolabel: foreground from an attention of {threshold:.2f} on", flush=True)
    inputs = {"images": index.content_hash, "attend": source.model, "cluster": source.clusters}
    inputs |= {"threshold": f"{threshold}", "parts": hash_bytes(source.parts)}
    shards = cut_shards(clustered, SHARD, [cluster_of[image_id] for image_id in clustered.image_ids])
    return LabelPlan(inputs, shards, partial(_label, source, threshold))


def _describe_source(config: NearestCentroidConfig, clusters: Clusters) -> "_Source":
    made_of = str(read_manifest(CLUSTERS, "clusters")["content_hash"])
    stored = len(read_centroids().embeddings)
    parts = np.asarray(clusters.centroids.embeddings[stored:], np.float32).tobytes()
    return _Source(config, model_hash("attend"), made_of, clusters.cut, parts)


def _label(source: "_Source", threshold: float, shard: Shard, positions: list[int]) -> list[LabelMap]:
    labels = []
    for position, found in zip(positions, _see(source, shard, positions), strict=True):
        photo = shard.photographs[position]
        category = found.category if source.config.category == "pixel" else np.uint16(shard.known[position] + 1)
        painted = np.where(found.score < threshold, np.uint16(0), category)
        labels.append(LabelMap(photo.image_id, photo.height, photo.width, painted))
    return labels


def _find_threshold(source: "_Source", clustered: ImageIndex, index: ImageIndex) -> float:
    foreground = source.config.foreground
    if foreground.rule == "fixed":
        return foreground.value
    if foreground.rule == "validation":
        return _choose_on_masks(source, index)
    drawn = iterate_photographs(partial(_see, source), clustered.draw(foreground.photographs), "threshold")
    return otsu_of_scores((100 * found.score).astype(np.uint8) for found in drawn)


def _choose_on_masks(source: "_Source", index: ImageIndex) -> float:
    labels = read_labels()
    masked = index.in_splits("validation").with_ids(
        image_id for image_id in index.image_ids if labels.mask_path(image_id)
    )
    if not len(masked):
        raise UserError("pseudolabel.foreground.rule: validation, but no validation photograph has a mask; take otsu")
    numbers = _restore(source).network.numbers
    curve = ThresholdCurve(max(labels.classes), 1 if numbers is None else int(numbers.max()))
    seen = iterate_photographs(partial(_see, source), masked, "threshold")
    for image_id, found in zip(masked.image_ids, seen, strict=True):
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


class _Source(NamedTuple):
    """What a worker labels by: parameters, and the content hashes of the model and of the clusters."""

    config: NearestCentroidConfig
    model: str
    clusters: str
    cut: tuple[int, ...]
    """Clusters of which there are parts, from 0."""
    parts: bytes
    """The parts' centroids (P, D) float32, which follow those of the clusters."""


class _Labeler(NamedTuple):
    """A network that labels pixels, and how it sees photographs."""

    network: AttendedPixels
    look: Look


def _see(source: _Source, shard: Shard, positions: list[int]) -> list[PixelPrediction]:
    """What the network says of the pixels of photographs of one size."""
    labeler = _restore(source)
    seen = labeler.look.read(shard.photographs, positions)
    with turn():
        categories, scores = (found.cpu().numpy() for found in labeler.network(seen.images))
    size = seen.images.shape[-2:]
    pairs = zip(categories.astype(np.uint16), scores, strict=True)
    return [PixelPrediction(category, score).resize(size) for category, score in pairs]


@loaded_once
def _restore(source: _Source) -> _Labeler:
    card, states = read_model("attend", ["backbone"])
    if card.parts.attention is None:
        raise UserError(f"pseudolabel: the model of {card.method} has no attention; take a recipe that trains one")
    features = restore_features(card, states, is_attended=True)
    categories = None if source.config.category == "image" else _compare_with(source, features)
    network = AttendedPixels(features, categories).to(inference_device()).eval()
    return _Labeler(network, Look(partial(resize_short_side, side=source.config.resize), card.input))


def _compare_with(source: _Source, features: FeatureNetwork) -> _Categories:
    """The centroids, if they are of the network's own pixels."""
    centroids = read_centroids()
    remedy = "set extract.embedding: backbone and extract.feature_map: null, or pseudolabel.category: image"
    centroids.check_space(features.feature_map, remedy)
    if (size := centroids.embeddings.shape[1]) != features.size:
        raise UserError(
            f"pseudolabel.category: centroids have {size} channels, pixels {features.size}; run `dvc repro`, which "
            "makes them of this model"
        )
    parts = np.frombuffer(source.parts, np.float32).reshape(-1, size)
    embeddings = np.concatenate([centroids.embeddings, parts])
    kept = np.setdiff1d(np.arange(len(embeddings)), source.cut)
    return _Categories(torch.tensor(embeddings[kept]), torch.tensor(kept + 1))
