"""One embedding per photograph: the mean of a map of features, weighted by the model's attention if it has one."""

from collections.abc import Iterator
from functools import partial

import torch
from torch import nn

from stages.core.artifacts.features import Embeddings, Feature
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.models import Model
from stages.core.config.networks import Space
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.crops import center_crop, resize_short_side
from stages.core.images.inference import iterate_batches
from stages.core.nets.backbones import embedding_size
from stages.core.nets.features import restore_features
from stages.core.nets.heads import GlobalPool, ProjectionHead
from stages.core.nets.transformers import ClassTokens
from stages.core.progress import Progress
from stages.extract.methods.image.config import ImageEmbeddingConfig

_BATCH = 64


def extract(config: ImageEmbeddingConfig, model: Model, index: ImageIndex) -> Embeddings:
    """The embeddings of all photographs in the index's order; see `StreamedVectors.extract`.

    Raises:
        UserError: The model has no projection head and one is asked for, or it belongs to another map; or it has no
            class token.
    """
    network, size, space = _restore_network(config, model)
    return Embeddings(_embed(config, network, model.card.input, index), size, space)


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


def _embed(
    config: ImageEmbeddingConfig, network: nn.Module, expects: InputCard, index: ImageIndex
) -> Iterator[Feature]:
    device = inference_device()
    network.to(device).to(memory_format=torch.channels_last).eval()
    prepare = partial(crop_center, resize=config.resize, crop=config.crop)
    with torch.inference_mode(), Progress(len(index), "embeddings") as progress:
        for seen in iterate_batches(index, prepare, expects, device, _BATCH):
            embeddings = network(seen.images).cpu().numpy()  # (B, D)
            for position, embedding in zip(seen.positions, embeddings, strict=True):
                photo = index[position]
                yield Feature(photo.image_id, 0, photo.height * photo.width, embedding)
            progress.update(seen.positions[-1] + 1)


def crop_center(image: UInt8, resize: int, crop: int) -> UInt8:
    """The center crop (crop, crop, 3) of a photograph (H, W, 3) whose shorter side is brought to `resize` pixels."""
    return center_crop(resize_short_side(image, max(resize, crop)), crop)
