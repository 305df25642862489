"""Corresponding points of two views of a photograph: a grid over the area that both show."""

from typing import NamedTuple

import torch
from torch import Tensor

GRID = 7
"""Points per side. PASS, step 1: 7."""

_OUTSIDE = -2.0


class Overlap(NamedTuple):
    """Corresponding points of two views."""

    places: tuple[Tensor, Tensor]
    """(B, G, G, 2) of each view, x and y in -1..1 as torch's grid_sample takes them; -2 where views do not overlap."""
    exists: Tensor
    """(B,) bool, whether the two views of a photograph overlap."""


def overlap_grid(first: Tensor, second: Tensor, side: int = GRID) -> Overlap:
    """A grid of points over the intersection of two views, its edges included.

    Args:
        first: (B, 5) windows: x, y, width, height in the photograph's pixels, 1 where mirrored.
        second: (B, 5)
        side: G, points per side.

    Source: PASS, step 1 (the image positions of its pixel-to-pixel loss).
    """
    low = torch.maximum(first[:, :2], second[:, :2])  # (B, 2) x, y
    high = torch.minimum(first[:, :2] + first[:, 2:4], second[:, :2] + second[:, 2:4])
    exists = (high > low).all(1)
    steps = torch.linspace(0, 1, side, device=first.device)
    points = low[:, None] + steps[:, None] * (high - low)[:, None]  # (B, G, 2)
    across, down = points[:, None, :, 0].expand(-1, side, -1), points[:, :, None, 1].expand(-1, -1, side)
    points = torch.stack([across, down], 3)  # (B, G, G, 2)
    return Overlap((_place(points, first, exists), _place(points, second, exists)), exists)


def sample_at(features: Tensor, places: Tensor) -> Tensor:
    """Read a map (B, D, h, w) at (B, G, G, 2) places, bilinearly, zeros outside: (B, D, G, G) float32.

    As `torch.nn.functional.grid_sample` without aligned corners; by products of matrices, since its gradient is never
    quite the same twice on a GPU.
    """
    height, width = features.shape[-2:]
    across, down = _weigh(places[..., 0].flatten(1), width), _weigh(places[..., 1].flatten(1), height)
    weights = (down[..., None] * across[..., None, :]).flatten(2)  # (B, G G, h w)
    with torch.autocast(features.device.type, enabled=False):
        read = features.float().flatten(2) @ weights.transpose(1, 2)  # (B, D, G G)
    return read.view(*features.shape[:2], *places.shape[1:3])


def _weigh(places: Tensor, size: int) -> Tensor:
    """(B, N) places in -1..1 to how much each of `size` cells adds to them, (B, N, size)."""
    cells = ((places + 1) * size - 1) / 2
    return (1 - (cells[..., None] - torch.arange(size, device=places.device)).abs()).clamp(min=0)


def _place(points: Tensor, window: Tensor, exists: Tensor) -> Tensor:
    window = window[:, None, None]
    places = 2 * (points - window[..., :2]) / window[..., 2:4] - 1
    mirrored = torch.cat([-places[..., :1], places[..., 1:]], 3)
    places = torch.where(window[..., 4:] > 0, mirrored, places)
    return torch.where(exists[:, None, None, None], places, _OUTSIDE)
