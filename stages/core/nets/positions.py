"""Position embeddings of a vision transformer at other image sizes than the trained one."""

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.config.networks import Positions

_DINO_OFFSET = 0.1
"""DINO's code adds it to the number of patches before it divides by the trained number, against rounding; the places
that are read shift by it."""


def resize_positions(positions: Tensor, old: tuple[int, int], new: tuple[int, int], how: Positions) -> Tensor:
    """Resize a grid of position embeddings bicubically.

    Interpolation is linear along each axis, so it is two matrix products: the same numbers as `F.interpolate`, and a
    gradient that is deterministic on every device.

    Args:
        positions: (1, old[0] old[1], D), row by row.
        old: Rows and columns of the trained grid.
        new: Rows and columns of the wanted one.
        how: Whose interpolation; see `TransformerConfig.positions`.

    Returns:
        (1, new[0] new[1], D); the same tensor where the grids are equal.
    """
    if old == new:
        return positions
    rows, columns = (_weights(*pair, how, positions.device) for pair in zip(old, new, strict=True))
    with torch.autocast(positions.device.type, enabled=False):
        grid = positions.float().reshape(*old, -1)
        resized = torch.einsum("yi,xj,ijd->yxd", rows, columns, grid)
    return resized.flatten(0, 1)[None].to(positions.dtype)


@lru_cache(maxsize=64)
def _weights(old: int, new: int, how: Positions, device: torch.device) -> Tensor:
    """(new, old): what every old place adds to every new one along one axis."""
    # Not as an inference tensor, which a later training could not use.
    with torch.inference_mode(False), torch.no_grad():
        unit = torch.eye(old, device=device)[None, None]
        if how == "dino":
            resized = F.interpolate(unit, scale_factor=((new + _DINO_OFFSET) / old, 1.0), mode="bicubic")
        else:
            resized = F.interpolate(unit, (new, old), mode="bicubic", antialias=how == "antialiased")
        return resized[0, 0]
