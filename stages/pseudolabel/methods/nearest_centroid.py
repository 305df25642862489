"""One label per pixel: its nearest centroid where the attention says foreground, background elsewhere.

Source: the code of LUSS's authors (PASS, steps 2.3 and 2.4).
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.clusters import Assignments, read_centroids
from stages.core.artifacts.image_index import DATA, ImageIndex, read_labels
from stages.core.artifacts.label_maps import LabelMap
from stages.core.artifacts.models import InputCard, read_model
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import resize_short_side
from stages.core.images.decode import UInt8, read_mask
from stages.core.images.inference import iterate_batches
from stages.core.nets.attention import AttentivePool, enlarge_map, restore_attention
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.params import Params
from stages.core.progress import track
from stages.pseudolabel.foreground import ForegroundConfig, split_scores
from stages.pseudolabel.validation import ThresholdCurve


class NearestCentroidConfig(Params):
    """Labels of pixels by attention and centroids."""

    method: Literal["nearest_centroid"] = "nearest_centroid"
    supervision: Literal["images", "labels"] = "images"
    """`labels` where the foreground's threshold is chosen on the validation masks."""
    resize: int = Field(256, ge=8)
    """Shorter side in pixels at which photographs are labelled; also the labels' size. PASS: 256."""
    category: Literal["pixel", "image"] = "pixel"
    """A foreground pixel's category: its own nearest centroid (PASS), or the cluster of the photograph as a whole, for
    pixels that cannot be told apart each by itself."""
    foreground: ForegroundConfig = ForegroundConfig()
    """Where foreground begins."""

    @model_validator(mode="after")
    def _says_where_labels_are_used(self) -> "NearestCentroidConfig":
        if (self.foreground.rule == "validation") != (self.supervision == "labels"):
            raise ValueError("foreground.rule: validation and supervision: labels belong together: set both or neither")
        return self

    def label(self, index: ImageIndex, assignments: Assignments) -> Iterator[LabelMap]:
        """The maps of all photographs that were clustered, in the index's order."""
        rows = zip(assignments.image_ids, assignments.region_ids, assignments.cluster_ids, strict=True)
        cluster_of = {image_id: int(cluster) for image_id, region, cluster in rows if region == 0}
        network, expects = _restore(self.category)
        clustered = index.among(cluster_of)
        threshold = self._find_threshold(network, expects, clustered, index)
        print(f"pseudolabel: foreground from an attention of {threshold:.2f} on", flush=True)
        for position, found in enumerate(self._look(network, expects, clustered, "labels")):
            photo = clustered[position]
            category = found.category if self.category == "pixel" else np.uint16(cluster_of[photo.image_id] + 1)
            label = np.where(found.score < threshold, np.uint16(0), category)
            yield LabelMap(photo.image_id, photo.height, photo.width, label)

    def prepare(self, image: UInt8) -> UInt8:
        """Resize a photograph to the side that it is labelled at."""
        return resize_short_side(image, self.resize)

    def _find_threshold(
        self, network: "AttendedPixels", expects: InputCard, clustered: ImageIndex, index: ImageIndex
    ) -> float:
        if self.foreground.rule == "fixed":
            return self.foreground.value
        if self.foreground.rule == "validation":
            return self._choose_on_masks(network, expects, index)
        chosen = np.unique(np.linspace(0, len(clustered) - 1, self.foreground.photographs).astype(int))
        spread = clustered.among(clustered[int(position)].image_id for position in chosen)
        return split_scores(found.score for found in self._look(network, expects, spread, "threshold"))

    def _choose_on_masks(self, network: "AttendedPixels", expects: InputCard, index: ImageIndex) -> float:
        labels = read_labels()
        masked = index.of("validation").among(image_id for image_id in index.image_ids if labels.mask_path(image_id))
        if not len(masked):
            raise UserError(
                "pseudolabel.foreground.rule: validation, but no validation photograph has a mask; take otsu"
            )
        curve = ThresholdCurve(max(labels.classes))
        for position, found in enumerate(self._look(network, expects, masked, "threshold")):
            true = read_mask(str(DATA / str(labels.mask_path(masked[position].image_id)))).astype(np.uint16)
            curve.add(*found.resize(true.shape), true)
        return curve.best

    def _look(self, network: "AttendedPixels", expects: InputCard, index: ImageIndex, label: str) -> Iterator["Found"]:
        device = inference_device()
        network.to(device).eval()
        with torch.inference_mode():
            for seen in track(iterate_batches(index, self.prepare, expects, device, 1), len(index), label=label):
                category, score = network(seen.images)
                size = seen.images.shape[-2:]
                yield Found(category[0].cpu().numpy().astype(np.uint16), score[0].cpu().numpy()).resize(size)


class Found(NamedTuple):
    """What the network says of a photograph's pixels."""

    category: npt.NDArray[np.uint16]
    """(h, w) cluster_id + 1."""
    score: npt.NDArray[np.float32]
    """(h, w) attention in 0..1."""

    def resize(self, size: tuple[int, ...]) -> "Found":
        """Both at another size: categories by nearest neighbor, the score bilinearly."""
        category = torch.from_numpy(self.category.astype(np.float32))[None, None]
        score = torch.from_numpy(self.score)[None, None]
        return Found(
            F.interpolate(category, size, mode="nearest")[0, 0].numpy().astype(np.uint16),
            F.interpolate(score, size, mode="bilinear", align_corners=False)[0, 0].numpy(),
        )


class AttendedPixels(nn.Module):
    """Photographs to the nearest centroid (B, h, w), ids from 1, and the attention (B, h, w) of every pixel."""

    def __init__(self, features: FeatureNetwork, pool: AttentivePool, centroids: Tensor | None) -> None:
        super().__init__()
        self.features, self.pool = features, pool
        self.centroids = nn.Buffer(F.normalize(centroids, dim=1)) if centroids is not None else None

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines decide; the centroids' own length does not count."""
        features = enlarge_map(self.features(images), self.pool.enlarge)
        score = self.pool.attention(features).mean(1)
        if self.centroids is None:
            return torch.ones_like(score), score
        cosines = torch.einsum("bdhw,kd->bkhw", F.normalize(features, dim=1), self.centroids)
        return cosines.argmax(1) + 1, score


def _restore(category: str) -> tuple[AttendedPixels, InputCard]:
    card, states = read_model("attend", ["backbone"])
    if "attention" not in states:
        raise UserError(f"pseudolabel: the model of {card['method']} has no attention; take a recipe that trains one")
    features = restore_features(card, states)
    pool = restore_attention(card, states["attention"], features.size)
    if category == "image":
        return AttendedPixels(features, pool, None), card["input"]
    centroids = read_centroids().embeddings
    if centroids.shape[1] != features.size:
        raise UserError(
            f"pseudolabel.category: centroids have {centroids.shape[1]} channels, pixels {features.size}; set "
            "extract.embedding: backbone, or pseudolabel.category: image"
        )
    return AttendedPixels(features, pool, torch.tensor(centroids)), card["input"]
