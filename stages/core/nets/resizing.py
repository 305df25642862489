"""Resizing whose gradient is the same at every run on a GPU too, where torch's own adds in any order."""

import torch
from torch import Tensor
from torch.nn import functional as F


def average_areas(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Shrink maps by averaging, as `F.interpolate` with `area`: (B, D, H, W) to (B, D, *size)."""
    height, width = maps.shape[-2:]
    if height % size[0] == 0 and width % size[1] == 0:
        return F.avg_pool2d(maps, (height // size[0], width // size[1]))
    rows, columns = _shares(height, size[0], maps), _shares(width, size[1], maps)
    return rows @ maps @ columns.T


def _shares(large: int, small: int, like: Tensor) -> Tensor:
    """(small, large): what each place of the longer side adds to those of the shorter one, which may overlap."""
    ends = torch.arange(small + 1) * large
    first, last = ends[:-1] // small, -(-ends[1:] // small)
    places = torch.arange(large)
    inside = (places >= first[:, None]) & (places < last[:, None])
    return (inside / inside.sum(1, keepdim=True)).to(like)
