"""Regions that all views of a photograph show, and masking of some of them by noise."""

import math

import torch
from torch import Tensor
from torch.distributions import Distribution, VonMises

from stages.pretrain.methods.vice.config import MaskingConfig

_CONCENTRATION = 2.0
_MODE = 0.75


class CommonRegions:
    """Which regions the views of a batch share.

    Args:
        maps: V maps (B, H, W) of region ids, 0 where there is none. Ids are the photograph's own.
    """

    def __init__(self, maps: list[Tensor]) -> None:
        batch, self._ids = len(maps[0]), max(int(each.max()) for each in maps) + 1
        offsets = torch.arange(batch, device=maps[0].device)[:, None, None] * self._ids
        self._keys = [each.long() + offsets for each in maps]
        self._batch = batch
        self._inside = [each > 0 for each in maps]
        self.common = torch.stack([self._occurring(view, inside) for view, inside in enumerate(self._inside)]).all(0)
        """(B * ids,) whether every view shows it."""

    def hide(self, views: list[Tensor], config: MaskingConfig) -> list[Tensor]:
        """Fill hidden regions with uniform noise in -1..1; what any view hides is common no longer.

        A photograph that would have no region left is not masked at all. Draws from torch's generator.

        Args:
            views: V tensors (B, 3, H, W), normalized.
            config: How much is hidden.
        """
        sizes = [(view.shape[-2], view.shape[-1]) for view in views]
        touched = torch.stack(
            [
                self._occurring(number, inside & draw_rectangles(self._batch, size, config.side).to(inside.device))
                for number, (inside, size) in enumerate(zip(self._inside, sizes, strict=True))
            ]
        )
        spared = self.common & (torch.rand(len(self.common)).to(self.common.device) < config.spared)
        hidden = touched & ~spared  # (V, B * ids)
        left = self._of_photographs(self.common & ~hidden.any(0)).any(1)
        hidden &= left.repeat_interleave(self._ids)
        self.common = self.common & ~hidden.any(0)
        return [
            torch.where(hidden[number][keys][:, None], torch.rand_like(view) * 2 - 1, view)
            for number, (view, keys) in enumerate(zip(views, self._keys, strict=True))
        ]

    def number(self) -> tuple[list[Tensor], Tensor]:
        """Number the common regions of the batch from 0.

        Returns:
            V maps (B, H, W) of these numbers, -1 elsewhere, and the photograph (R,) of each.
        """
        places = self.common.nonzero().squeeze(1)
        numbers = torch.full_like(self.common, -1, dtype=torch.long)
        numbers[places] = torch.arange(len(places), device=places.device)
        return [numbers[keys] for keys in self._keys], places // self._ids

    def _occurring(self, view: int, where: Tensor) -> Tensor:
        found = torch.zeros(self._batch * self._ids, dtype=torch.bool, device=where.device)
        found[self._keys[view][where]] = True
        return found

    def _of_photographs(self, flags: Tensor) -> Tensor:
        return flags.view(self._batch, self._ids)


def pixel_regions(windows: Tensor, size: int) -> list[Tensor]:
    """Every pixel of the photograph as a region of its own.

    Args:
        windows: (B, V, 5) x, y, width, height in the photograph's pixels, and 1 where a view is mirrored.
        size: Side of the views.

    Returns:
        V maps (B, size, size) of ids from 1, unique within what the views of a photograph show.
    """
    starts, sides, flips = windows[..., :2], windows[..., 2:4], windows[..., 4] > 0
    low = starts.amin(1)
    width = ((starts + sides).amax(1) - low)[:, 0].long()  # (B,)
    steps = (torch.arange(size, device=windows.device, dtype=torch.float64) + 0.5) / size
    maps = []
    for view in range(windows.shape[1]):
        along = (starts[:, view] - low)[..., None] + steps * sides[:, view, :, None]  # (B, 2, size)
        x, y = along.floor().long().unbind(1)
        x = torch.where(flips[:, view, None], x.flip(1), x)
        maps.append(y[:, :, None] * width[:, None, None] + x[:, None] + 1)
    return maps


def draw_rectangles(count: int, size: tuple[int, int], side: float) -> Tensor:
    """One rectangle per view, inside it, (count, H, W) bool; sides up to `side` of the view's, off its center."""
    shares = _draw_shares(count, 2) * side  # of height and width
    angle, radius = torch.rand(count) * 2 * math.pi, _draw_shares(count) / 2
    centers = torch.stack([0.5 + radius * angle.sin(), 0.5 + radius * angle.cos()], 1)
    starts = (centers - shares / 2).clamp(min=0).minimum(1 - shares)
    inside = []
    for axis, length in enumerate(size):
        places = (torch.arange(length) + 0.5) / length
        inside.append((places >= starts[:, axis, None]) & (places < (starts + shares)[:, axis, None]))
    return inside[0][:, :, None] & inside[1][:, None]


def _draw_shares(*shape: int) -> Tensor:
    """Numbers in 0..1, most likely at three quarters: von Mises angles, mapped linearly."""
    around = torch.tensor(2 * math.pi * _MODE - math.pi)
    angles: Distribution = VonMises(around, torch.tensor(_CONCENTRATION), validate_args=False)
    return (angles.sample(torch.Size(shape)) + math.pi) / (2 * math.pi)
