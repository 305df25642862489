"""One embedding per photograph: the mean of a map of features, weighted by the model's attention if it has one.

Source: LUSS, section 3.1 (label generation) and 4 (attention); resize and crop from PASS, step 2.2.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.core.artifacts.features import Feature
from stages.core.artifacts.image_index import ImageIndex, Split
from stages.core.artifacts.models import Card, InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.images.crops import center_crop, resize_short_side
from stages.core.images.decode import UInt8
from stages.core.images.inference import iterate_batches
from stages.core.nets.attention import restore_attention
from stages.core.nets.features import FeatureMap, restore_features
from stages.core.nets.heads import GlobalPool, ProjectionConfig, ProjectionHead
from stages.core.params import Params
from stages.core.progress import Progress

_BATCH = 64


class ImageEmbeddingConfig(Params):
    """The mean of a feature map over a center crop, attention-pooled where the model has an attention part."""

    method: Literal["image"] = "image"
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose photographs are described; clusters are made of these."""
    resize: int = Field(256, ge=8)
    """Shorter side in pixels. PASS: 256."""
    crop: int = Field(224, ge=8)
    """Side of the center crop in pixels. PASS: 224."""
    feature_map: FeatureMap | None = None
    """`decoder` (LUSS: Our-D) or `stage4`, the backbone's last map (Our-S4); null for the one that the model was
    trained by. Attention belongs to that one and weighs no other."""
    embedding: Literal["backbone", "projected"] = "backbone"
    """The map's mean feature, or what the projection head makes of it (a unit vector). LUSS and PASS: the
    map's. With few photographs the projected one holds less of what a category does not share."""
    dtype: Literal["float16", "float32"] = "float32"
    """Of the stored embeddings."""

    def prepare(self, image: UInt8) -> UInt8:
        """The center crop that is described."""
        return center_crop(resize_short_side(image, max(self.resize, self.crop)), self.crop)

    def describe(
        self, card: Card, states: Mapping[str, Mapping[str, Tensor]], index: ImageIndex
    ) -> tuple[Iterator[Feature], int]:
        """The embeddings of all photographs in the index's order, and their size D.

        Raises:
            UserError: The model has no projection head and one is asked for, or it belongs to another map.
        """
        network, size = self._restore_network(card, states)
        return self._embed(network, card["input"], index), size

    def _restore_network(self, card: Card, states: Mapping[str, Mapping[str, Tensor]]) -> tuple[nn.Module, int]:
        """The network (B, 3, crop, crop) -> (B, D), and D."""
        features = restore_features(card, states, self.feature_map)
        own_map = features.feature_map == card["feature_map"]
        # Attention and projection head were trained on the model's own map and fit no other.
        attends = own_map and "attention" in states
        pool = restore_attention(card, states["attention"], features.size) if attends else GlobalPool()
        if self.embedding == "backbone":
            return nn.Sequential(features, pool), features.size
        if "projector" not in states:
            raise UserError(f"extract.embedding: the model of {card['method']} has no projector; take backbone")
        if not own_map:
            raise UserError(f"extract.embedding: projected is made of the model's {card['feature_map']}; take backbone")
        head_config = ProjectionConfig.model_validate(card["parts"]["projector"])
        head = ProjectionHead(features.size, head_config)
        head.load_state_dict(dict(states["projector"]))
        return nn.Sequential(features, pool, head), head_config.projected

    def _embed(self, network: nn.Module, expects: InputCard, index: ImageIndex) -> Iterator[Feature]:
        device = inference_device()
        network.to(device).to(memory_format=torch.channels_last).eval()
        with torch.inference_mode(), Progress(len(index), "embeddings") as progress:
            for seen in iterate_batches(index, self.prepare, expects, device, _BATCH):
                embeddings = network(seen.images).cpu().numpy()  # (B, D)
                for position, embedding in zip(seen.positions, embeddings, strict=True):
                    photo = index[position]
                    yield Feature(photo.image_id, 0, photo.height * photo.width, embedding)
                progress.update(seen.positions[-1] + 1)
