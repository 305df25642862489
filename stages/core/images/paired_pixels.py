"""Pixels of two views' maps at the same places of the photograph."""

from collections.abc import Sequence

import torch
from torch import Tensor

from stages.core.images.view_overlap import overlap_grid, sample_at


def read_pairs(maps: Sequence[Tensor], windows: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Read two maps (B, D, h, w) on a grid over what both views show; photographs without such a part are left out.

    Args:
        maps: Of the first and of the second view.
        windows: (B, V, 5) of the views; the first two count.
        side: G, points per side of the grid.

    Returns:
        (2, P, D, G, G) float32 of the P photographs, and which (B,) they are.
    """
    overlap = overlap_grid(windows[:, 0], windows[:, 1], side)
    read = [sample_at(each, places) for each, places in zip(maps, overlap.places, strict=True)]
    return torch.stack(read)[:, overlap.exists], overlap.exists
