"""Class activation maps of photographs, seen at several sizes and mirrored."""

import io
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.features import Feature, FeatureFormat, read_features
from stages.core.artifacts.image_index import Photo
from stages.core.artifacts.shards import write_atomically
from stages.core.engine.devices import inference_device
from stages.core.feature_mapping import FeaturePlan, describe_photographs
from stages.core.images.working_size import shrink
from stages.core.label_mapping import SHARD
from stages.core.network_mapping import Look, Shard, cut_shards, loaded_once, turn
from stages.pseudolabel.activation.accumulation import StoredMaps
from stages.pseudolabel.activation.ascent import climb, room_of_pixels
from stages.pseudolabel.activation.config import MapConfig
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import TagTraining

Float32 = npt.NDArray[np.float32]
_LEAST_SIDE = 16
_SMALL = 0.5
"""Largest scale at which an ascent takes its `small_steps`."""


class MapSource(NamedTuple):
    """What a worker makes maps by."""

    trained: Path
    """File of the classifier; its folder's name tells its content."""
    config: MapConfig


def save_trained(training: TagTraining, path: Path) -> Path:
    """Write what has been trained for workers to restore; the absolute path."""
    content = io.BytesIO()
    torch.save(training, content)
    write_atomically(path, content.getvalue())
    return path.resolve()


@loaded_once
def restore_trained(path: Path) -> TagTraining:
    """What `save_trained` wrote, on the device for inference."""
    training: TagTraining = torch.load(path, map_location=inference_device(), weights_only=False)
    return training.eval().requires_grad_(False)


def map_own_categories(source: MapSource, shard: Shard, positions: list[int]) -> list[Float32]:
    """Maps of photographs' own categories, each (T', h, w) in 0..1; the shard knows the `OwnTags` of each."""
    training, maps = restore_trained(source.trained), []
    for position in positions:
        images = _look(source, training).read(shard.photographs, [position]).images
        ids = torch.from_numpy(shard.known[position].ids).to(images.device)
        with turn(may_differentiate=True):
            maps.append(activate(training, images, ids, source.config))
    return maps


def enlarge_accumulated(stored: StoredMaps, max_side: int, shard: Shard, positions: list[int]) -> list[Float32]:
    """The same of maps that were accumulated, bilinearly at the size that photographs are seen at."""
    return [_enlarge(stored.of(shard.known[at].entries), shard.photographs[at], max_side) for at in positions]


def _enlarge(maps: Float32, photo: Photo, max_side: int) -> Float32:
    scale = min(max_side / max(photo.height, photo.width), 1)
    size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
    return np.stack([cv2.resize(each, size) for each in maps])


def mean_features(source: MapSource, tags: Tags, work: Path) -> Float32:
    """The mean of each tagged photograph's features (N, D); resumable, wherever workers are.

    Args:
        source: By what.
        tags: The photographs.
        work: Folder of unfinished work.
    """
    described = FeatureFormat("mean", restore_trained(source.trained).features.size)
    plan = FeaturePlan(described, cut_shards(tags.photographs, SHARD), partial(_describe, source))
    describe_photographs(plan, work / "described", work / "vectors")
    return read_features(work / "vectors").embeddings


def _describe(source: MapSource, shard: Shard, positions: list[int]) -> list[list[Feature]]:
    training = restore_trained(source.trained)
    seen = _look(source, training).read(shard.photographs, positions)
    with turn():
        vectors = training.features(seen.images).float().mean((2, 3)).cpu().numpy()  # (B, D)
    photos = [shard.photographs[position] for position in positions]
    return [[Feature(photo.image_id, 0, 1, vector)] for photo, vector in zip(photos, vectors, strict=True)]


def _look(source: MapSource, training: TagTraining) -> Look:
    return Look(partial(shrink, max_side=source.config.max_side), training.views.input_card)


def activate(training: TagTraining, images: Tensor, ids: Tensor, config: MapConfig) -> Float32:
    """Maps (T', H, W) of some categories of one photograph: what is above 0, added, each divided by its maximum.

    Args:
        training: What has been trained.
        images: (1, 3, H, W), normalized.
        ids: (T',) categories.
        config: At which sizes the photograph is seen.
    """
    height, width = images.shape[-2:]
    total = torch.zeros(len(ids), height, width, device=images.device)
    for scale in config.scales:
        size = (max(round(height * scale), _LEAST_SIDE), max(round(width * scale), _LEAST_SIDE))
        scaled = F.interpolate(images, size, mode="bilinear", align_corners=False)
        for mirrored in (False, True) if config.flip else (False,):
            found = _positive_maps(training, scaled.flip(-1) if mirrored else scaled, ids, config, scale)
            maps = found.flip(-1) if mirrored else found
            total += F.interpolate(maps[None], (height, width), mode="bilinear", align_corners=False)[0]
    highest = total.amax((1, 2), keepdim=True)
    return np.asarray((total / highest.clamp_min(1e-5)).cpu().numpy(), np.float32)


def _positive_maps(training: TagTraining, images: Tensor, ids: Tensor, config: MapConfig, scale: float) -> Tensor:
    """What is above 0 of the maps (T', h, w) of some categories; with an ascent, summed over its steps."""
    if config.ascent is None:
        return F.relu(training.activate(images)[0, ids].float())
    steps = config.ascent.small_steps if scale <= _SMALL else config.ascent.steps
    room = room_of_pixels(training.views.mean, training.views.std, images.device)
    summed = []
    for category in ids.tolist():
        climbing = islice(climb(training, images, category, config.ascent, room), steps + 1)
        summed.append(torch.stack([F.relu(maps[category].float()) for maps in climbing]).sum(0))
    return torch.stack(summed)
