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


def enlarge(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """Enlarge maps bilinearly: (B, D, h, w) to (B, D, *size), centers of corners apart.

    On a GPU by two matrix products: the gradient of torch's own, where it is to be the same at every run, holds four
    copies of the result, 12 GB each at 919 classes.
    """
    return enlarge_by_products(maps, size) if maps.is_cuda else F.interpolate(maps, size, mode="bilinear")


def enlarge_by_products(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """See `enlarge`; linear along each axis, so that it is a product with a matrix of weights for each."""
    rows, columns = (_weights(small, large, maps) for small, large in zip(maps.shape[-2:], size, strict=True))
    with torch.autocast(maps.device.type, enabled=False):
        return rows @ (maps @ columns.T)


def _weights(small: int, large: int, like: Tensor) -> Tensor:
    """(large, small): how much of each place of the shorter side makes each of the longer one."""
    source = ((torch.arange(large, device=like.device) + 0.5) * (small / large) - 0.5).clamp(0, small - 1)
    return (1 - (source[:, None] - torch.arange(small, device=like.device)).abs()).clamp(min=0).to(like.dtype)


def _shares(large: int, small: int, like: Tensor) -> Tensor:
    """(small, large): what each place of the longer side adds to those of the shorter one, which may overlap."""
    ends = torch.arange(small + 1) * large
    first, last = ends[:-1] // small, -(-ends[1:] // small)
    places = torch.arange(large)
    inside = (places >= first[:, None]) & (places < last[:, None])
    return (inside / inside.sum(1, keepdim=True)).to(like)
