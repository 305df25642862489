"""A torch dataset of augmented views, each determined by seed, epoch and photograph alone."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from stages.core.artifacts.image_index import ImageIndex, Photo, read_photo
from stages.core.artifacts.label_maps import SALIENT, LabelMaps
from stages.core.config.views import (
    CenterViewConfig,
    CoverageConfig,
    MultiCropConfig,
    SectorViewConfig,
    ShareCropConfig,
    ViewConfig,
)
from stages.core.errors import UserError
from stages.core.images.class_map_crops import ClassMapCrops
from stages.core.images.compiled_photometric import augment_views_compiled
from stages.core.images.crops import crop_map
from stages.core.images.loading import Batches, load
from stages.core.images.photometric import augment_views, constant
from stages.core.images.sampling import draw_evenly
from stages.core.images.sector_views import draw_sector_views
from stages.core.images.views import LazyPhoto, View, cut_center, draw_covered_views, draw_multi_crop, draw_share_crop

_MAX_REPLACED = 1000

TravellingMaps = LabelMaps | ClassMapCrops
"""Maps that are cut like the views."""


class Batch(NamedTuple):
    """Views of B photographs on the device."""

    views: list[Tensor]
    """V tensors (B, 3, size, size), normalized."""
    windows: Tensor
    """(B, V, 5): x, y, width, height in the photograph's pixels, and 1 where the view is mirrored."""
    maps: dict[str, list[Tensor]]
    """V maps per kind of map, cut and mirrored like the views: label maps (B, size, size), int32, class maps
    (B, K, side, side), float32."""
    positions: Tensor
    """(B,) number of each photograph in the index."""


class EpochBatches(Sampler[list[tuple[int, int]]]):
    """Batch sampler of (epoch, position) that can start at any iteration; one seeded order per epoch.

    Args:
        count: N, photographs.
        batch_size: Of all processes together.
        seed: Of the orders.
        iterations: Of the training, that are sampled.
        groups: (N,) group of each photograph: every group is shown equally often; by default every photograph once.
    """

    def __init__(self, count: int, batch_size: int, seed: int, iterations: range, groups: Tensor | None = None) -> None:
        self._count, self._batch_size, self._seed, self._iterations = count, batch_size, seed, iterations
        self._groups = None if groups is None else groups.cpu().numpy()
        self._part, self._parts = 0, 1

    def shared(self, part: int, parts: int) -> "EpochBatches":
        """The part of every batch that one of several processes trains on."""
        shared = copy.copy(self)
        shared._part, shared._parts = part, parts
        return shared

    def __len__(self) -> int:
        return len(self._iterations)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        steps = steps_per_epoch(self._count, self._batch_size)
        last_epoch, order = -1, np.zeros(0, np.int64)
        for iteration in self._iterations:
            epoch, step = divmod(iteration, steps)
            if epoch != last_epoch:
                last_epoch, order = epoch, self._order(epoch)
            chosen = order[step * self._batch_size : (step + 1) * self._batch_size]
            yield [(epoch, int(position)) for position in np.array_split(chosen, self._parts)[self._part]]

    def _order(self, epoch: int) -> npt.NDArray[np.int64]:
        rng = np.random.default_rng([self._seed, epoch])
        return rng.permutation(self._count) if self._groups is None else draw_evenly(self._groups, rng)


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Whole batches in an epoch; at least one, which then holds all photographs."""
    return max(count // batch_size, 1)


class ViewDataset(Dataset[dict[str, Any]]):
    """Cuts the views of a photograph, and of its maps with the same geometry.

    With a coverage, a photograph whose saliency map allows no view of it is replaced by another one.
    """

    def __init__(
        self,
        index: ImageIndex,
        spec: ViewConfig,
        maps: Mapping[str, TravellingMaps],
        seed: int,
        coverage: CoverageConfig | None = None,
    ) -> None:
        self._index, self._spec, self._maps, self._seed, self._coverage = index, spec, maps, seed, coverage

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        epoch, position = key
        rng = np.random.default_rng([self._seed, 1, epoch, position])
        for _ in range(_MAX_REPLACED):
            listed = self._index[position]
            photo = LazyPhoto((listed.height, listed.width), partial(read_photo, listed))
            if (views := self._draw(photo, listed.image_id, rng)) is not None:
                return self._pack(position, listed, views)
            position = int(rng.integers(len(self)))  # From the same generator, so that it stays decided by the key.
        raise UserError(
            f"{_MAX_REPLACED} photographs drawn and none has views whose saliency mask is within the limits "
            f"({self._coverage}); widen them or change the section saliency"
        )

    def _draw(self, photo: LazyPhoto, image_id: str, rng: np.random.Generator) -> list[View] | None:
        if isinstance(self._spec, SectorViewConfig):
            return draw_sector_views(photo, self._spec, rng)
        if isinstance(self._spec, ShareCropConfig):
            return draw_share_crop(photo, self._spec, rng)
        if isinstance(self._spec, CenterViewConfig):
            return [cut_center(photo, self._spec)]
        assert isinstance(self._spec, MultiCropConfig)
        if self._coverage is None:
            return draw_multi_crop(photo, self._spec, rng)
        saliency = self._maps["saliency"]
        assert isinstance(saliency, LabelMaps)
        mask = np.asarray(saliency[image_id].map) >= SALIENT
        return draw_covered_views(photo, mask, self._spec, self._coverage, rng)

    def _pack(self, position: int, photo: Photo, views: list[View]) -> dict[str, Any]:
        return {
            "pixels": [view.pixels for view in views],
            "photometric": np.stack([view.photometric for view in views]),
            "windows": np.array([view.window for view in views], np.float32),
            "maps": {name: [_cut_map(maps, photo, view) for view in views] for name, maps in self._maps.items()},
            "position": position,
        }


def _cut_map(maps: TravellingMaps, photo: Photo, view: View) -> npt.NDArray[np.generic]:
    if isinstance(maps, ClassMapCrops):
        return maps.cut(photo.image_id, view.window)
    found = maps[photo.image_id].map
    return crop_map(found, (photo.height, photo.width), view.window, len(view.pixels)).astype(np.int32)


def load_batches(dataset: ViewDataset, batches: Batches, device: torch.device) -> Iterator[dict[str, Any]]:
    """Raw batches, made in LUSS_WORKERS - 1 processes beside this one; see `stages.core.images.loading`."""
    return load(dataset, batches, prefetch=4, pin_memory=device.type == "cuda")


def augment_batch(raw: dict[str, Any], spec: ViewConfig, device: torch.device) -> Batch:
    """Move a raw batch to the device and mirror, recolor and normalize it there."""
    windows = raw["windows"].to(device, non_blocking=True)
    flips = windows[..., 4] > 0
    finish = _finish_views if device.type == "cpu" else _finish_by_size
    views = finish(raw["pixels"], raw["photometric"], raw["windows"][..., 4] > 0, spec, device)
    maps = {
        name: [_mirror(cut.to(device, non_blocking=True), flips[:, number]) for number, cut in enumerate(cuts)]
        for name, cuts in raw["maps"].items()
    }
    return Batch(views, windows, maps, raw["position"].to(device))


def _finish_views(
    pixels: Sequence[Tensor], photometric: Tensor, flips: Tensor, spec: ViewConfig, device: torch.device
) -> list[Tensor]:
    """Views (B, 3, S, S) of pixels (B, S, S, 3) on the CPU."""
    mean, std = (torch.tensor(each) for each in (spec.mean, spec.training_std or spec.std))
    return [
        augment_views_compiled(view.permute(0, 3, 1, 2), photometric[:, number], flips[:, number], mean, std)
        for number, view in enumerate(pixels)
    ]


def _finish_by_size(
    pixels: Sequence[Tensor], photometric: Tensor, flips: Tensor, spec: ViewConfig, device: torch.device
) -> list[Tensor]:
    """The same on a GPU, all views of one size at once: it is given a fraction of the operations."""
    mean, std = (constant(tuple(each), device) for each in (spec.mean, spec.training_std or spec.std))
    sizes = [len(view[0]) for view in pixels]
    views: list[Tensor] = [torch.empty(0)] * len(sizes)
    for size in dict.fromkeys(sizes):
        own = [number for number, each in enumerate(sizes) if each == size]
        joined = torch.cat([pixels[number].to(device, non_blocking=True) for number in own]).permute(0, 3, 1, 2)
        changes, flipped = (torch.cat([each[:, number] for number in own]) for each in (photometric, flips))
        finished = augment_views(joined, changes, flipped, mean, std)
        for number, view in zip(own, finished.chunk(len(own)), strict=True):
            views[number] = view
    return views


def _mirror(maps: Tensor, flip: Tensor) -> Tensor:
    """Maps (B, ..., h, w), mirrored where `flip` (B,) says so."""
    return torch.where(flip.view(-1, *[1] * (maps.ndim - 1)), maps.flip(-1), maps)
