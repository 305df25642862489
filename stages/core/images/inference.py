"""Batches of photographs for inference: resized, normalized, in the index's order."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, Dataset, SequentialSampler

from stages.core.artifacts.image_index import ImageIndex
from stages.core.config.views import InputCard
from stages.core.image_files import UInt8
from stages.core.images.loading import load


class InferenceBatch(NamedTuple):
    """A batch of normalized photographs, and their positions in the index."""

    positions: list[int]
    """In the index."""
    images: Tensor
    """(B, 3, h, w) on the device, normalized, channels last."""


class _Prepared(Dataset[tuple[int, Tensor]]):
    def __init__(self, index: ImageIndex, prepare: Callable[[UInt8], UInt8]) -> None:
        self._index, self._prepare = index, prepare

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, position: int) -> tuple[int, Tensor]:
        pixels = self._prepare(self._index.read(position))
        return position, torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def iterate_batches(
    index: ImageIndex, prepare: Callable[[UInt8], UInt8], expects: InputCard, device: torch.device, batch_size: int
) -> Iterator[InferenceBatch]:
    """Yield the photographs of an index in order, decoded and prepared in LUSS_WORKERS - 1 processes.

    Args:
        index: The photographs.
        prepare: Picklable; (H, W, 3) uint8 to (h, w, 3) uint8, of one size where batch_size > 1.
        expects: Statistics that the network wants.
        device: Where the network is.
        batch_size: Photographs at once; never a parameter of a stage.
    """
    dataset = _Prepared(index, prepare)
    batches = BatchSampler(SequentialSampler(dataset), batch_size, drop_last=False)
    for positions, pixels in load(dataset, batches, prefetch=2):
        yield InferenceBatch(positions.tolist(), normalize(pixels.to(device), expects))


def normalize(pixels: Tensor, expects: InputCard) -> Tensor:
    """(B, 3, h, w) uint8 to normalized float32 in channels-last order."""
    mean = torch.tensor(expects.mean, device=pixels.device)[:, None, None]
    std = torch.tensor(expects.std, device=pixels.device)[:, None, None]
    return ((pixels.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
