"""Maps of a photograph that is changed step by step so that the classifier sees more of a category in it.

Source: Lee et al., Anti-Adversarially Manipulated Attributions for Weakly and Semi-Supervised Semantic Segmentation,
CVPR 2021 (AdvCAM).
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.pseudolabel.activation.config import AscentConfig
from stages.pseudolabel.activation.training import TagTraining


class Room(NamedTuple):
    """The least and the largest values of normalized pixels, each (3, 1, 1)."""

    least: Tensor
    most: Tensor


def climb(training: TagTraining, images: Tensor, category: int, config: AscentConfig, room: Room) -> Iterator[Tensor]:
    """The maps (L, h, w) of an image before its first step and after each one, without end.

    Args:
        training: What has been trained; its own weights stay.
        images: (1, 3, H, W), normalized.
        category: What is to be seen more of.
        config: Length of a step, and what holds it back.
        room: That pixels have.
    """
    first: Tensor | None = None
    strong = torch.zeros((), dtype=torch.bool, device=images.device)
    while True:
        yield training.activate(images)[0].detach()
        with torch.enable_grad():
            images = images.detach().requires_grad_()
            maps = F.relu(training.classify(images)[0].float())
            own = maps[category]
            first = own.detach() if first is None else first
            strong = strong | (own.detach() > config.strong * own.detach().max())
            change = ((own - first).abs() * strong).sum()
            wanted = 2 * own.mean() - maps.mean((1, 2)).sum() - config.restraint * change
            (slope,) = torch.autograd.grad(wanted, images)
        moved = images.detach() + config.step * slope / slope.abs().max().clamp_min(1e-12)
        images = torch.minimum(torch.maximum(moved, room.least), room.most)


def room_of_pixels(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> Room:
    """Of photographs that are normalized by these statistics."""
    center, spread = (torch.tensor(each, device=device)[:, None, None] for each in (mean, std))
    return Room(-center / spread, (1 - center) / spread)
