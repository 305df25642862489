"""One embedding per photograph: that of its salient object."""

from functools import partial
from itertools import starmap
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.features import OUT, Feature, FeatureFormat, read_features, write_features
from stages.core.artifacts.image_index import ImageIndex, Photo
from stages.core.artifacts.label_maps import SALIENT, LabelMaps, open_label_maps
from stages.core.artifacts.models import model_hash, read_model
from stages.core.artifacts.shards import shard_paths
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.feature_mapping import FeaturePlan, describe_photographs, map_features
from stages.core.images.crops import resize_short_side
from stages.core.nets.objects import ObjectMaps, ObjectNetwork, restore_objects
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn
from stages.core.resume import resumable_work
from stages.core.whitening import whiten
from stages.core.words import how_many
from stages.extract.methods.salient_object.config import SalientObjectConfig

OBJECT = 1
"""Region id of the salient object."""

_SHARD = 256
"""Photographs of a shard, at least."""
_PLAIN = "plain"
"""Folder of vectors that are to be whitened."""


class _Source(NamedTuple):
    """What a worker describes by: parameters, and content hashes of the model and of the saliency maps, if used."""

    config: SalientObjectConfig
    model: str
    saliency: str


class _Restored(NamedTuple):
    network: ObjectNetwork
    maps: LabelMaps | None
    look: Look


def write(config: SalientObjectConfig, index: ImageIndex) -> None:
    """Write one vector of each photograph in which something stands out; see `ExtractConfig.write_vectors`.

    Raises:
        UserError: The model has no saliency head and the mask should come from it.
    """
    saliency = open_label_maps("saliency").content_hash if config.mask == "saliency_maps" else ""
    source = _Source(config, model_hash("attend"), saliency)
    network = _restore(source).network
    described = FeatureFormat(config.method, network.size, "float32" if config.whiten else config.dtype, network.space)
    plan = FeaturePlan(described, cut_shards(index, _SHARD), partial(_describe, source))
    inputs = {"images": index.content_hash, "attend": source.model, "saliency": saliency}
    if config.whiten:
        _write_whitened(config, inputs, plan)
    else:
        map_features(config, inputs, plan)
    count = sum(pq.read_metadata(path).num_rows for path in shard_paths(OUT))
    print(f"extract: a salient object in {count} of {how_many(len(index), 'photograph')}")


@loaded_once
def _restore(source: _Source) -> _Restored:
    card, states = read_model("attend", ["backbone"])
    if source.config.mask == "saliency_head" and card.parts.saliency is None:
        raise UserError(f"extract.mask: the model of {card.method} has no saliency head; take mask: saliency_maps")
    network = restore_objects(card, states).to(inference_device()).to(memory_format=torch.channels_last).eval()
    maps = open_label_maps("saliency") if source.config.mask == "saliency_maps" else None
    return _Restored(network, maps, Look(partial(resize_short_side, side=source.config.short_side), card.input))


def _describe(source: _Source, shard: Shard, positions: list[int]) -> list[list[Feature]]:
    restored = _restore(source)
    seen = restored.look.read(shard.photographs, positions)
    with turn():
        found = restored.network(seen.images)
        each = [slice(number, number + 1) for number in range(len(positions))]
        objects = [ObjectMaps(found.embeddings[n], None if found.salient is None else found.salient[n]) for n in each]
        photos = [shard.photographs[position] for position in positions]
        return [_describe_one(source.config, restored.maps, *pair) for pair in zip(photos, objects, strict=True)]


def _describe_one(
    config: SalientObjectConfig, maps: LabelMaps | None, photo: Photo, objects: ObjectMaps
) -> list[Feature]:
    mask = _find_object(config, objects, maps, photo.image_id)
    if not mask.any():
        return []
    area = round(photo.height * photo.width * float(mask.float().mean()))
    return [Feature(photo.image_id, OBJECT, area, _pool(config, objects, mask).cpu().numpy())]


def _find_object(config: SalientObjectConfig, objects: ObjectMaps, maps: LabelMaps | None, image_id: str) -> Tensor:
    """(H, W) bool, at the embeddings' size."""
    if maps is None:
        assert objects.salient is not None
        return torch.sigmoid(objects.salient[0]) >= config.threshold
    stored = torch.from_numpy(np.asarray(maps[image_id].map, np.float32))[None, None]
    resized = F.interpolate(stored, objects.embeddings.shape[-2:], mode="bilinear", align_corners=False)
    return (resized[0, 0] >= SALIENT).to(objects.embeddings.device)


def _pool(config: SalientObjectConfig, objects: ObjectMaps, mask: Tensor) -> Tensor:
    pixels = objects.embeddings[0, :, mask]  # (D, P)
    if config.weighting == "mean":
        return F.normalize(pixels, dim=0).mean(1)
    assert objects.salient is not None
    return F.normalize(pixels @ objects.salient[0, mask], dim=0)


def _write_whitened(config: SalientObjectConfig, inputs: dict[str, str], plan: FeaturePlan) -> None:
    """By what all vectors have in common: they are in memory, after they have been written as they are."""
    with resumable_work("extract", config, inputs) as work:
        describe_photographs(plan, work, work / _PLAIN)
        found = read_features(work / _PLAIN)
        vectors = whiten(found.embeddings, config.whiten, "extract.whiten")
        rows = zip(found.image_ids, found.region_ids.tolist(), found.areas.tolist(), vectors, strict=True)
        write_features(starmap(Feature, rows), config.whiten, config.dtype, config.method, "whitened")
