"""Class activation maps of photographs, seen at several sizes and mirrored."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.engine.devices import inference_device
from stages.core.images.inference import iterate_batches
from stages.core.images.working_size import shrink
from stages.core.progress import track
from stages.pseudolabel.activation.ascent import climb, room_of_pixels
from stages.pseudolabel.activation.config import MapConfig
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import TagTraining

Float32 = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
_LEAST_SIDE = 16
_SMALL = 0.5
"""Largest scale at which an ascent takes its `small_steps`."""


def iterate_maps(training: TagTraining, tags: Tags, config: MapConfig, rows: Rows | None = None) -> Iterator[Float32]:
    """The maps of tagged photographs' own categories (T', h, w), in 0..1, in the order of the tags.

    Args:
        training: What has been trained; where it has accumulated maps, these.
        tags: The photographs' categories.
        config: How maps are made.
        rows: Of the tags, which photographs; None for all.
    """
    if training.accumulated is None:
        chosen = tags if rows is None else tags.take(rows)
        yield from _activate_all(training, chosen, config, inference_device())
        return
    for row in range(len(tags.ids)) if rows is None else rows.tolist():
        photo = tags.photographs[row]
        scale = min(config.max_side / max(photo.height, photo.width), 1)
        size = max(1, round(photo.width * scale)), max(1, round(photo.height * scale))
        yield np.stack([cv2.resize(each, size) for each in training.accumulated.of(row)])


@torch.no_grad()
def _activate_all(training: TagTraining, tags: Tags, config: MapConfig, device: torch.device) -> Iterator[Float32]:
    training.to(device).eval()
    expects = training.views.input_card
    prepare = partial(shrink, max_side=config.max_side)
    for seen in iterate_batches(tags.photographs, prepare, expects, device, batch_size=1):
        ids = tags.ids[seen.positions[0]]
        yield activate(training, seen.images, torch.from_numpy(ids[ids >= 0]).to(device), config)


@torch.no_grad()
def mean_features(training: TagTraining, tags: Tags, config: MapConfig, device: torch.device) -> Float32:
    """The mean of each tagged photograph's features (N, D)."""
    training.to(device).eval()
    prepare = partial(shrink, max_side=config.max_side)
    batches = iterate_batches(tags.photographs, prepare, training.views.input_card, device, batch_size=1)
    vectors = [
        training.features(seen.images).float().mean((2, 3))
        for seen in track(batches, len(tags.photographs), label="features")
    ]
    return np.asarray(torch.cat(vectors).cpu().numpy(), np.float32)


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
