"""One embedding per photograph: the mean of a map of features, weighted by the model's attention if it has one."""

from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from stages.core.artifacts.features import Feature, FeatureFormat
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.models import Model, model_hash, read_model
from stages.core.config.networks import Space
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.feature_mapping import FeaturePlan, map_features
from stages.core.image_files import UInt8
from stages.core.images.crops import center_crop, resize_short_side
from stages.core.nets.backbones import embedding_size
from stages.core.nets.features import restore_features
from stages.core.nets.heads import GlobalPool, ProjectionHead
from stages.core.nets.transformers import ClassTokens
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn
from stages.extract.methods.image.config import ImageEmbeddingConfig

_BATCH = 32
_SHARD = 1024
"""Photographs of a shard, at least."""


class _Restored(NamedTuple):
    network: nn.Module
    """(B, 3, crop, crop) -> (B, D)"""
    size: int
    space: Space
    expects: InputCard


def write(config: ImageEmbeddingConfig, index: ImageIndex) -> None:
    """Write one vector per photograph; see `ExtractConfig.write_vectors`.

    Raises:
        UserError: The model has no projection head and one is asked for, or it belongs to another map; or it has no
            class token.
    """
    model = model_hash("attend")
    restored = _restore(config, model)
    described = FeatureFormat(config.method, restored.size, config.dtype, restored.space)
    plan = FeaturePlan(described, cut_shards(index, _SHARD), partial(_describe, config, model), _BATCH)
    map_features(config, {"images": index.content_hash, "model": model}, plan)


@loaded_once
def _restore(config: ImageEmbeddingConfig, model: str) -> _Restored:
    """The network of `artifacts/attend`, whose content hash this is."""
    card, states = read_model("attend", ["backbone"])
    network, size, space = _restore_network(config, Model(card, states))
    network.to(inference_device()).to(memory_format=torch.channels_last).eval()
    return _Restored(network, size, space, card.input)


def _restore_network(config: ImageEmbeddingConfig, model: Model) -> tuple[nn.Module, int, Space]:
    """The network (B, 3, crop, crop) -> (B, D), D, and what the vectors are."""
    card, states = model
    features = restore_features(card, states, config.feature_map, is_attended=True)
    if config.embedding == "class_token":
        return ClassTokens(features.backbone), embedding_size(features.backbone), "stage4"
    pool = GlobalPool()
    if config.embedding == "backbone":
        return nn.Sequential(features, pool), features.size, features.feature_map
    if card.parts.projector is None:
        raise UserError(f"extract.embedding: the model of {card.method} has no projector; take backbone")
    if features.feature_map != card.feature_map:
        raise UserError(f"extract.embedding: projected is made of the model's {card.feature_map}; take backbone")
    head = ProjectionHead(features.size, card.parts.projector)
    head.load_state_dict(dict(states["projector"]))
    return nn.Sequential(features, pool, head), card.parts.projector.projected, "projected"


def _describe(config: ImageEmbeddingConfig, model: str, shard: Shard, positions: list[int]) -> list[list[Feature]]:
    network = _restore(config, model)
    seen = Look(partial(crop_center, resize=config.resize, crop=config.crop), network.expects).read(
        shard.photographs, positions
    )
    with turn():
        embeddings = network.network(seen.images).cpu().numpy()  # (B, D)
    photos = [shard.photographs[position] for position in positions]
    return [
        [Feature(photo.image_id, 0, photo.height * photo.width, embedding)]
        for photo, embedding in zip(photos, embeddings, strict=True)
    ]


def crop_center(image: UInt8, resize: int, crop: int) -> UInt8:
    """The center crop (crop, crop, 3) of a photograph (H, W, 3) whose shorter side is brought to `resize` pixels."""
    return center_crop(resize_short_side(image, max(resize, crop)), crop)
