"""The same places of a photograph in two of its views: a grid over what both show."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

GRID = 7
"""Points per side. PASS, step 1: 7."""

_OUTSIDE = -2.0


class Overlap(NamedTuple):
    """Corresponding points of two views."""

    places: tuple[Tensor, Tensor]
    """(B, G, G, 2) of each view, x and y in -1..1 as `grid_sample` takes them; -2 where the views do not overlap."""
    exists: Tensor
    """(B,) bool, whether the two views of a photograph overlap."""


def overlap_grid(first: Tensor, second: Tensor, side: int = GRID) -> Overlap:
    """Points on the common rectangle of two views, its edges included.

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


def sample(features: Tensor, places: Tensor) -> Tensor:
    """Read a map (B, D, h, w) at (B, G, G, 2) places, bilinearly, zeros outside: (B, D, G, G) float32."""
    return F.grid_sample(features.float(), places, mode="bilinear", padding_mode="zeros", align_corners=False)


def _place(points: Tensor, window: Tensor, exists: Tensor) -> Tensor:
    window = window[:, None, None]
    places = 2 * (points - window[..., :2]) / window[..., 2:4] - 1
    mirrored = torch.cat([-places[..., :1], places[..., 1:]], 3)
    places = torch.where(window[..., 4:] > 0, mirrored, places)
    return torch.where(exists[:, None, None, None], places, _OUTSIDE)
