"""The class token of every window that slides over a photograph, at several scales."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.features import OUT, Feature, FeatureFormat, write_feature_shard
from stages.core.artifacts.image_index import ImageIndex, Photo
from stages.core.artifacts.models import model_hash, read_model
from stages.core.artifacts.shards import atomic_out, shard_ranges
from stages.core.config.groups import GROUPS
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.images.crops import squash
from stages.core.images.inference import normalize
from stages.core.mapping import compute_shards, read_batches, take_over_shards
from stages.core.nets.backbones import embedding_size
from stages.core.nets.features import restore_backbone
from stages.core.nets.transformers import ClassTokens, check_attention, class_attention, patch_size, run_transformer
from stages.core.network_mapping import loaded_once, turn
from stages.core.resume import resumable_work
from stages.core.words import how_many
from stages.extract.methods.sliding_windows.config import SlidingWindowsConfig
from stages.extract.methods.sliding_windows.windows import (
    NEITHER,
    OBJECT,
    Windows,
    foreground_shares,
    slide_windows,
    sort_windows,
)

_SHARD = 4
"""Photographs of a shard, at least: a photograph is a hundred passes of the network."""
_PHOTOS, _WINDOWS = 4, 32
"""At once in one pass of the network."""


class _Network(NamedTuple):
    tokens: ClassTokens
    expects: InputCard
    patch: int


def write(config: SlidingWindowsConfig, index: ImageIndex) -> None:
    """Write `artifacts/extract`, in several processes; finished shards survive a kill.

    Raises:
        UserError: The backbone has no class token, or no attention that could be read; or no window is kept.
    """
    content_hash = model_hash("attend")
    backbone, is_marked = _restore(content_hash).tokens.backbone, config.kept != "all"
    if is_marked:
        check_attention(backbone)
    described = FeatureFormat(config.method, embedding_size(backbone), config.dtype, "stage4", is_marked, True)
    shards = [index.take_rows(rows) for rows in shard_ranges(len(index), _SHARD)]
    with resumable_work("extract", config, {"images": index.content_hash, "model": content_hash}) as work:
        compute_shards(shards, partial(_write_shard, config, described, content_hash), work.resolve())
        with atomic_out(OUT, "features", "extract", config.method) as out:
            take_over_shards(work, out, len(shards))
            _count_windows(out, len(index))


def _count_windows(out: Path, photographs: int) -> None:
    count = sum(pq.read_metadata(path).num_rows for path in sorted(out.glob("part-*.parquet")))
    if not count:
        raise UserError(
            f"extract: no window of {how_many(photographs, 'photograph')} is kept; lower extract.object_share or "
            "extract.surroundings_share, or take kept: all (photographs that were skipped are named above)"
        )
    print(f"extract: {how_many(count, 'window')} of {how_many(photographs, 'photograph')}", flush=True)


def _write_shard(
    config: SlidingWindowsConfig, described: FeatureFormat, content_hash: str, task: tuple[Path, ImageIndex]
) -> list[str]:
    path, shard = task
    network, skipped, rows = _restore(content_hash), list[str](), list[Feature]()
    for photos, images in read_batches(shard, _PHOTOS, skipped):
        problems = [_find_problem(config, network.patch, photo) for photo in photos]
        skipped += filter(None, problems)
        sound = [number for number, problem in enumerate(problems) if problem is None]
        if sound:
            rows += _describe(config, network, [photos[number] for number in sound], [images[n] for n in sound])
    write_feature_shard(path, described, rows)
    return skipped


@loaded_once
def _restore(content_hash: str) -> _Network:
    """The network of `artifacts/attend`, whose content this is; the shards of a process share it."""
    card, states = read_model("attend", ["backbone"])
    tokens = ClassTokens(restore_backbone(card, states)).to(inference_device()).eval()
    return _Network(tokens, card.input, patch_size(tokens.backbone))


def _find_problem(config: SlidingWindowsConfig, patch: int, photo: Photo) -> str | None:
    """Why a photograph has no windows, if so: the smallest would show fewer pixels than a patch has."""
    scale, size = min(config.scales), f"{photo.width}x{photo.height}"
    if scale * min(photo.height, photo.width) >= patch:
        return None
    return f"{photo.image_id}: {size} pixels: a window of scale {scale} is smaller than a patch of {patch} pixels"


def _describe(
    config: SlidingWindowsConfig, network: _Network, photos: list[Photo], images: list[UInt8]
) -> list[Feature]:
    """Rows of photographs, sorted by photograph and window."""
    patch = network.patch
    grid = (max(round(config.size[0] / patch), 1), max(round(config.size[1] / patch), 1))
    squashed = np.stack([squash(image, (grid[0] * patch, grid[1] * patch)) for image in images])
    pixels = torch.from_numpy(squashed.transpose(0, 3, 1, 2).copy()).to(inference_device())
    windows = slide_windows(grid, config.scales, config.step)
    with turn():
        seen = normalize(pixels, network.expects)
        groups = _sort(config, network, seen, windows)
        places = [(int(n), int(w)) for n, w in np.argwhere(groups != NEITHER)]
        vectors = _embed(
            config, network, seen, [(number, *(windows[window] * patch).tolist()) for number, window in places]
        )
    boxes = windows[:, [1, 0, 2, 2]] / np.array([grid[1], grid[0], grid[1], grid[0]])
    rows = []
    for (number, window), vector in zip(places, vectors, strict=True):
        photo, box = photos[number], boxes[window]
        area = max(round(float(box[2] * box[3]) * photo.height * photo.width), 1)
        group = None if config.kept == "all" else GROUPS[groups[number, window]]
        x, y, width, height = box.tolist()
        rows.append(Feature(photo.image_id, window + 1, area, vector, group, (x, y, width, height)))
    return rows


def _sort(config: SlidingWindowsConfig, network: _Network, seen: Tensor, windows: Windows) -> npt.NDArray[np.int8]:
    """(B, n) what each window shows; OBJECT throughout where all are kept."""
    if config.kept == "all":
        return np.full((len(seen), len(windows)), OBJECT, np.int8)
    backbone = network.tokens.backbone
    attention = class_attention(backbone, run_transformer(backbone, seen, attention_block=-1)).mean(1)
    masks = (attention > attention.mean((1, 2), keepdim=True)).cpu().numpy()
    shares = [foreground_shares(mask, windows) for mask in masks]
    groups = np.stack([sort_windows(each, config.object_share, config.surroundings_share) for each in shares])
    return groups if config.kept == "grouped" else np.where(groups == OBJECT, groups, NEITHER)


def _embed(
    config: SlidingWindowsConfig, network: _Network, seen: Tensor, places: list[tuple[int, int, int, int]]
) -> npt.NDArray[np.float32]:
    """Class tokens (n, D) of windows: photograph, top, left and side in pixels of `seen` (B, 3, H, W)."""
    side = max(round(config.window / network.patch), 1) * network.patch
    tokens = [np.zeros((0, embedding_size(network.tokens.backbone)), np.float32)]
    for first in range(0, len(places), _WINDOWS):
        crops = [
            F.interpolate(seen[n : n + 1, :, y : y + size, x : x + size], (side, side), mode="bilinear", antialias=True)
            for n, y, x, size in places[first : first + _WINDOWS]
        ]
        tokens.append(network.tokens(torch.cat(crops)).float().cpu().numpy())
    return np.concatenate(tokens)
