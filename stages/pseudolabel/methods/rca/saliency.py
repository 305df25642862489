"""Saliency as supervision of the maps of a photograph's categories and of its background.

Source: Lee et al., Railroad is not a Train: Saliency as Pseudo-pixel Supervision for Weakly Supervised Semantic
Segmentation, CVPR 2021 (EPS); maps are shares of a pixel, as in its code.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.nets.resizing import average_areas
from stages.pseudolabel.activation.training import multi_hot
from stages.pseudolabel.methods.rca.config import SaliencyLossConfig

_HALF = 0.5
"""Above it a place belongs to a category's map, and to what is salient."""


def estimate_saliency(maps: Tensor, tags: Tensor, saliency: Tensor, settings: SaliencyLossConfig) -> Tensor:
    """Saliency as the maps have it.

    A photograph's own categories are its foreground where enough of their map is salient; else, as a railroad beside a
    train, they belong to the background.

    Args:
        maps: (B, L + 1, h, w) scores of the categories and, last, of the background.
        tags: (B, T) categories; -1 for none.
        saliency: (B, h, w) in 0..1.
        settings: See `SaliencyLossConfig`.

    Returns:
        (B, h, w) in 0..1.
    """
    shares = maps.float().softmax(1)
    own, background = shares[:, :-1], shares[:, -1]
    marked, salient = own.detach() > _HALF, (saliency > _HALF)[:, None]
    overlap = (marked & salient).sum((2, 3)) / marked.sum((2, 3)).clamp_min(1)
    present = multi_hot(tags, own.shape[1])
    in_front = present * (overlap > settings.overlap)
    foreground = torch.einsum("bl,blhw->bhw", in_front, own)
    behind = torch.einsum("bl,blhw->bhw", present - in_front, own) + background
    return settings.foreground * foreground + (1 - settings.foreground) * (1 - behind)


def saliency_loss(maps: Tensor, tags: Tensor, saliency: Tensor, settings: SaliencyLossConfig) -> Tensor:
    """Mean squared difference of saliency (B, H, W) in 0..1 and what the maps make of it; see `estimate_saliency`."""
    seen = average_areas(saliency[:, None], (maps.shape[-2], maps.shape[-1]))[:, 0]
    return F.mse_loss(estimate_saliency(maps, tags, seen, settings), seen)
