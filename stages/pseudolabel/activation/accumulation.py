"""Accumulated attention: of every photograph and category, the strongest that its map has been while training went on.

Source: Jiang et al., Integral Object Mining via Online Attention Accumulation, ICCV 2019 (OAA); scale of RCA's code.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.class_maps import ClassMaps
from stages.core.engine.distributed import gather, rank
from stages.pseudolabel.activation.tags import Tags

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]
_LEVELS = 255
"""Steps of a value."""


class StoredMaps(NamedTuple):
    """Where accumulated maps lie, for whoever reads them."""

    path: Path
    side: int

    def of(self, entries: Int64) -> Float32:
        """The maps (E', side, side) in 0..1 of some entries."""
        stored = np.memmap(self.path, np.uint8, "r").reshape(-1, self.side, self.side)
        return np.asarray(stored[entries] / np.float32(_LEVELS), np.float32)


class AccumulatedMaps:
    """A map of each photograph and category that it shows, in its frame, in one file of a byte per place.

    The file lies beside the checkpoints and is never behind them: a step that is taken again after a kill raises
    the maps to what they are already.

    Args:
        tags: The photographs' categories, E in all.
        side: Cells along both sides of a photograph.
        path: Of the file, E x side x side bytes; made where it is missing.

    Raises:
        OSError: The disk has no room for it.
    """

    def __init__(self, tags: Tags, side: int, path: Path) -> None:
        self._tags, self.side, self.stored = tags, side, StoredMaps(path.resolve(), side)
        self.numbers = tags.entries  # (N, T)
        shape = (int((self.numbers >= 0).sum()), side, side)
        if not path.exists():
            _allocate(path, shape[0] * side * side)
        self._maps = np.memmap(path, np.uint8, "r+", shape=shape)

    def add(self, numbers: Tensor, maps: Tensor) -> None:
        """Raise the maps of entries (R,) of this process to what was seen (R, side, side), in 0..1.

        Called in all processes; the first writes for all of them.
        """
        steps = gather((maps * _LEVELS).round().to(torch.uint8)).cpu().numpy()
        for number, found in zip(gather(numbers).tolist(), steps, strict=True):
            if rank() == 0:
                np.maximum(self._maps[number], found, out=self._maps[number])

    def flush(self) -> None:
        """Have everything on the disk: what a checkpoint then knows of has been written before it."""
        self._maps.flush()

    def of(self, row: int) -> Float32:
        """The maps (T', side, side) in 0..1 of a photograph's categories, by its row in the tags."""
        own = self.numbers[row]
        return self.stored.of(own[own >= 0])

    def __iter__(self) -> Iterator[ClassMaps]:
        """As they are stored: of all photographs, but the categories that were never seen in theirs."""
        for row, ids in enumerate(self._tags.ids):
            photo, found = self._tags.photographs[row], self.of(row)
            was_seen = found.any((1, 2))
            seen = ids[ids >= 0][was_seen].astype(np.uint16)
            yield ClassMaps(photo.image_id, photo.height, photo.width, seen, found[was_seen])


def _allocate(path: Path, size: int) -> None:
    """A file of zeros whose room is taken at once: a full disk is told here, and not by a signal while it fills."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    partial.rename(path)


def place_in_frame(maps: Tensor, windows: Tensor, sizes: Tensor, side: int) -> Tensor:
    """Maps of views where these lie in their photographs, bilinearly.

    Args:
        maps: (R, h, w) of views.
        windows: (R, 5) of the views, in the photographs' pixels and with 1 where mirrored, as in `Batch`.
        sizes: (R, 2) height and width of the photographs.
        side: Cells along both sides of a photograph.

    Returns:
        (R, side, side); 0 where a cell's center lies outside of the view.
    """
    centers = (torch.arange(side, device=maps.device) + 0.5) / side
    across = (centers * sizes[:, 1:] - windows[:, :1]) / windows[:, 2:3]  # (R, side), 0..1 within the view
    down = (centers * sizes[:, :1] - windows[:, 1:2]) / windows[:, 3:4]
    across = torch.where(windows[:, 4:] > 0, 1 - across, across)
    places = torch.stack(
        [across[:, None].expand(-1, side, -1), down[:, :, None].expand(-1, -1, side)],
        -1,  # (R, side, side, 2)
    )
    found = F.grid_sample(maps[:, None], 2 * places - 1, "bilinear", "border", align_corners=False)[:, 0]
    return found * ((places >= 0) & (places <= 1)).all(-1)
