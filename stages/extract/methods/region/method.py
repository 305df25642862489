"""One embedding per region of a photograph: its superpixels, or a sample of its pixels."""

from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stages.core.artifacts.features import Feature, FeatureFormat
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMaps, open_label_maps
from stages.core.artifacts.models import model_hash, read_model
from stages.core.engine.devices import inference_device
from stages.core.feature_mapping import FeaturePlan, map_features
from stages.core.images.crops import resize_short_side
from stages.core.nets.objects import ObjectNetwork, restore_objects
from stages.core.nets.regions import region_means
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn
from stages.extract.methods.region.config import RegionEmbeddingConfig

_SHARD = 256
"""Photographs of a shard, at least."""


class _Source(NamedTuple):
    """What a worker describes by: parameters, and content hashes of the model and of the superpixels, if used."""

    config: RegionEmbeddingConfig
    model: str
    superpixels: str


class _Restored(NamedTuple):
    network: ObjectNetwork
    maps: LabelMaps | None
    look: Look


def write(config: RegionEmbeddingConfig, index: ImageIndex) -> None:
    """Write one vector per region; see `ExtractConfig.write_vectors`."""
    source = _Source(config, model_hash("attend"), _hash_superpixels(config))
    network = _restore(source).network
    described = FeatureFormat(config.method, network.size, config.dtype, network.space)
    inputs = {"images": index.content_hash, "attend": source.model, "superpixels": source.superpixels}
    map_features(config, inputs, FeaturePlan(described, cut_shards(index, _SHARD), partial(_describe, source)))


def _hash_superpixels(config: RegionEmbeddingConfig) -> str:
    return open_label_maps("superpixels").content_hash if config.regions == "superpixels" else ""


@loaded_once
def _restore(source: _Source) -> _Restored:
    card, states = read_model("attend", ["backbone"])
    network = restore_objects(card, states).to(inference_device()).to(memory_format=torch.channels_last).eval()
    maps = open_label_maps("superpixels") if source.config.regions == "superpixels" else None
    return _Restored(network, maps, Look(partial(resize_short_side, side=source.config.short_side), card.input))


def _describe(source: _Source, shard: Shard, positions: list[int]) -> list[list[Feature]]:
    restored = _restore(source)
    seen = restored.look.read(shard.photographs, positions)
    with turn():
        features = restored.network.embed(seen.images)
        return [
            _describe_one(source.config, restored.maps, shard, position, seen.images.shape[-2:], features[n : n + 1])
            for n, position in enumerate(positions)
        ]


def _describe_one(
    config: RegionEmbeddingConfig,
    maps: LabelMaps | None,
    shard: Shard,
    position: int,
    size: torch.Size,
    features: Tensor,
) -> list[Feature]:
    photo, (height, width) = shard.photographs[position], size
    ids = (
        _read_superpixels(maps, photo.image_id, (height, width))
        if maps
        else _sample_pixels(config, shard.first + position, (height, width))
    )
    if maps and config.sampled:
        ids = _sample_superpixels(ids, config.sampled, config.seed, shard.first + position)
    names, numbers = np.unique(ids, return_inverse=True)
    first = int(names[0] == 0)
    regions = torch.from_numpy(numbers.reshape(1, height, width) - first).to(features.device)
    embeddings = region_means(features, regions, len(names) - first).cpu().numpy()
    areas = np.bincount(ids.ravel())[names[first:]] * (photo.height * photo.width / ids.size)
    return [
        Feature(photo.image_id, int(name), max(round(float(area)), 1), embedding)
        for name, area, embedding in zip(names[first:], areas, embeddings, strict=True)
    ]


def _sample_pixels(config: RegionEmbeddingConfig, position: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(H, W) ids of the drawn pixels, 0 for the others; a pixel's is its place in reading order, from 1."""
    count = size[0] * size[1]
    chosen = np.random.default_rng([config.seed, position]).permutation(count)[: config.pixels]
    ids = np.zeros(count, np.int64)
    ids[chosen] = chosen + 1
    return ids.reshape(size)


def _sample_superpixels(ids: npt.NDArray[np.int64], count: int, seed: int, position: int) -> npt.NDArray[np.int64]:
    """The map (H, W) with the drawn superpixels' ids, 0 for the others."""
    names = np.unique(ids[ids > 0])
    drawn = np.random.default_rng([seed, position]).permutation(names)[:count]
    return np.where(np.isin(ids, drawn), ids, 0)


def _read_superpixels(maps: LabelMaps, image_id: str, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """(H, W) ids of the photograph's superpixels, 0 for none, by nearest neighbor."""
    stored = np.asarray(maps[image_id].map)
    rows, columns = (
        ((np.arange(side) + 0.5) * (length / side)).astype(np.int64)
        for side, length in zip(size, stored.shape, strict=True)
    )
    return np.asarray(stored[rows[:, None], columns], np.int64)
