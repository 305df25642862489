"""Soft maps of all categories: what draws a vision transformer's attention towards each centroid."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stages.core.artifacts.class_maps import FOLDER, ClassMaps, Origin, write_class_shard
from stages.core.artifacts.clusters import Assignments, read_centroids
from stages.core.artifacts.image_index import ImageIndex, Photo
from stages.core.artifacts.label_maps import IGNORE, LabelMap, write_shard
from stages.core.artifacts.models import read_model
from stages.core.artifacts.shards import ARTIFACTS, atomic_out, read_manifest, shard_ranges
from stages.core.config.groups import GROUPS
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.crops import squash
from stages.core.images.inference import normalize
from stages.core.mapping import compute_shards, read_batches, take_over_shards
from stages.core.nets.attention import rank_by_mass
from stages.core.nets.backbones import embedding_size
from stages.core.nets.class_gradients import ClassGradients, check_gradients, class_gradients
from stages.core.nets.features import restore_backbone
from stages.core.nets.transformers import patch_size
from stages.core.network_mapping import loaded_once, turn
from stages.core.resume import resumable_work
from stages.pseudolabel.methods.vit_gradcam.config import ViTGradCAMConfig

_STAGE = "pseudolabel"
PHOTOS = 8
"""At once in one pass of the network; the result does not depend on it, see `ViTGradCAMConfig.gradient_batch`."""


class _Network(NamedTuple):
    backbone: nn.Module
    expects: InputCard
    centroids: Tensor
    """(K, D)"""
    groups: Tensor | None
    """(K,) positions in `GROUPS`."""


def write(config: ViTGradCAMConfig, index: ImageIndex, assignments: Assignments) -> None:
    """Write `artifacts/pseudolabel`, in several processes; finished shards survive a kill.

    Raises:
        UserError: The backbone has no class token whose attention could be read, the centroids are not of its class
            tokens or have no groups where these should be kept apart, or no photograph was clustered.
    """
    inputs = {"images": index.content_hash} | {
        name: str(read_manifest(ARTIFACTS / name, contract)["content_hash"])
        for name, contract in (("attend", "model"), ("cluster", "clusters"))
    }
    network = _restore(*inputs.values())
    if config.groups_apart and network.groups is None:
        raise UserError("pseudolabel.groups_apart: the centroids have no groups; set cluster.groups, or this to false")
    clustered = index.with_ids(set(assignments.image_ids))
    if not len(clustered):
        raise UserError("pseudolabel: no photograph of the index was clustered; run `dvc repro cluster`")
    origin = Origin(_STAGE, config.method, len(network.centroids))
    shards = [clustered.take_rows(rows) for rows in shard_ranges(len(clustered))]
    with resumable_work(_STAGE, config, inputs) as work:
        compute_shards(shards, partial(_write_shard, config, origin, tuple(inputs.values())), work.resolve())
        with atomic_out(ARTIFACTS / _STAGE, "label_maps", _STAGE, config.method) as out:
            take_over_shards(work, out, len(shards))
            with atomic_out(out / FOLDER, "class_maps", _STAGE, config.method) as beside:
                take_over_shards(work / FOLDER, beside, len(shards))


def _write_shard(
    config: ViTGradCAMConfig, origin: Origin, hashes: tuple[str, ...], task: tuple[Path, ImageIndex]
) -> list[str]:
    path, shard = task
    network, skipped, found = _restore(*hashes), list[str](), list[ClassMaps]()
    for photos, images in read_batches(shard, PHOTOS, skipped):
        found += _map_classes(config, network, photos, images)
    write_class_shard(path.parent / FOLDER / path.name, origin, found)
    # The last of the two: where it lies, both are whole.
    labels = (LabelMap(one.image_id, one.height, one.width, decide(one, config.background)) for one in found)
    write_shard(path, labels, _STAGE, config.method)
    return skipped


@loaded_once
def _restore(*hashes: str) -> _Network:
    """The network of `artifacts/attend` and the centroids, by the hashes of their contents, once in a process."""
    card, states = read_model("attend", ["backbone"])
    backbone, centroids = restore_backbone(card, states), read_centroids()
    check_gradients(backbone)
    centroids.check_space("stage4", "set extract.method: sliding_windows, or image with embedding: class_token")
    if centroids.embeddings.shape[1] != (size := embedding_size(backbone)):
        raise UserError(
            f"pseudolabel: centroids have {centroids.embeddings.shape[1]} channels, class tokens {size}; run `dvc "
            "repro`, which makes them of this model"
        )
    device = inference_device()
    groups = None if centroids.groups is None else torch.tensor(centroids.groups, device=device)
    vectors = torch.tensor(centroids.embeddings, device=device)
    return _Network(backbone.to(device).eval().requires_grad_(False), card.input, vectors, groups)


def _map_classes(
    config: ViTGradCAMConfig, network: _Network, photos: list[Photo], images: list[UInt8]
) -> list[ClassMaps]:
    patch = patch_size(network.backbone)
    height, width = (max(round(side / patch), 1) * patch for side in config.size)
    squashed = np.stack([squash(image, (height, width)) for image in images]).transpose(0, 3, 1, 2)
    with turn(may_differentiate=True):
        pixels = torch.from_numpy(squashed.copy()).to(inference_device())
        gradients = class_gradients(network.backbone, normalize(pixels, network.expects), network.centroids)
        base, above = raise_attention(gradients, config.gradient_batch, config.mass)
        if config.groups_apart and network.groups is not None:
            above = part_groups(base, above, network.groups)
    ids = np.arange(len(network.centroids), dtype=np.uint16)
    maps = zip(photos, base.cpu().numpy(), above.cpu().numpy(), strict=True)
    return [ClassMaps(photo.image_id, photo.height, photo.width, ids, high, low) for photo, low, high in maps]


def raise_attention(found: ClassGradients, gradient_batch: int, mass: float) -> tuple[Tensor, Tensor]:
    """Attention and what each class adds to it.

    Args:
        found: Of a batch.
        gradient_batch: What gradients are divided by.
        mass: Share of a class's positive gradients that its largest ones make up; the others add 0.

    Returns:
        The attention (B, h, w), 1 where it is largest; and (B, K, h, w), NaN where more attention would lead away
        from the class, so that the place does not count for it.

    Source: TransFGU, equation 7, with the clipping of its code.
    """
    base = found.attention / found.attention.amax((1, 2), keepdim=True)
    drawn = found.gradients / gradient_batch
    raised = drawn.clamp(min=0)
    largest = rank_by_mass(raised.flatten(0, 1)[:, None]).reshape(raised.shape) > 1 - mass
    return base, torch.where(drawn < 0, torch.nan, raised * largest)


def part_groups(base: Tensor, above: Tensor, groups: Tensor) -> Tensor:
    """Let objects (K,) count only where attention (B, h, w) is above its mean, surroundings only where it is not.

    Source: TransFGU, section 4.2.
    """
    foreground = (base > base.mean((1, 2), keepdim=True))[:, None]
    objects = (groups == GROUPS.index("object"))[:, None, None]
    return torch.where(foreground == objects, above, torch.nan)


def decide(maps: ClassMaps, background: float) -> npt.NDArray[np.uint16]:
    """(h, w) the highest class of each place, from 1; 0 for background, IGNORE where there is none and no class counts.

    Source: TransFGU, equations 6 and 8: max(T - M, 0) exceeds M where M is below T / 2.
    """
    labels = maps.best
    if not background:
        return np.where(labels == 0, np.uint16(IGNORE), labels)
    return np.where(maps.values.max(0) <= background / 2, np.uint16(0), labels)
