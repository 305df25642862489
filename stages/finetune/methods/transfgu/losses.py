"""TransFGU's labels and losses.

Shapes: B photographs, C classes (with the background, where there is one, as the first), maps of h x w places.

Source: TransFGU, section 3.3.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def add_background(maps: Tensor, level: float) -> Tensor:
    """Class maps (B, K, h, w) in 0..1 behind one of the background: (B, K + 1, h, w); equation 8."""
    return torch.cat([F.relu(level - maps.amax(1, keepdim=True)), maps], 1)


def refine(labels: Tensor, teacher: Tensor) -> Tensor:
    """The mean of labels (B, C, h, w) and of what a teacher's logits (B, C, h, w) say; equation 12."""
    return (labels + teacher.softmax(1)) / 2


def peer_loss(logits: Tensor, labels: Tensor, weight: float) -> Tensor:
    """Cross-entropy with the best class of the labels, less its weighted self with wrong ones; equation 13.

    The wrong labels are those of classes in a random order, one for the batch, drawn where the weight is not 0.

    Args:
        logits: (B, C, h, w)
        labels: (B, C, h, w), soft.
        weight: alpha.
    """
    loss = _cross_entropy(logits, labels.argmax(1))
    if not weight:
        return loss
    order = torch.randperm(labels.shape[1]).to(labels.device)
    return loss - weight * _cross_entropy(logits, labels[:, order].argmax(1))


def uncertainty_loss(logits: Tensor, counted: Tensor | None = None) -> Tensor:
    """1 less the mean distance of the two largest probabilities at a place; equation 14.

    Args:
        logits: (B, C, h, w), without the background's; of fewer than two classes nothing is uncertain.
        counted: (B, h, w) places that count, all of them by default; where none does, the loss is 0.
    """
    if logits.shape[1] < 2:
        return logits.sum() * 0
    best = logits.softmax(1).topk(2, 1).values
    gap = best[:, 0] - best[:, 1]  # (B, h, w)
    if counted is None:
        return 1 - gap.mean()
    return ((1 - gap) * counted).sum() / counted.sum().clamp_min(1)


def diversity_loss(classes: Tensor) -> Tensor:
    """Mean over pairs of classes of 1 + their cosine; equation 15.

    Args:
        classes: (B, C, D) vectors of the classes, of any length; of a single one the loss is 0.
    """
    count = classes.shape[1]
    if count < 2:
        return classes.sum() * 0
    unit = F.normalize(classes, dim=-1)
    # All ordered pairs add up to the squared length of the sum of all, less those of a class with itself.
    pairs = unit.sum(1).square().sum(-1) - unit.square().sum((1, 2))  # (B,)
    return 1 + (pairs / (count * (count - 1))).mean()


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    # Averaged apart: torch's own mean over maps adds in any order on a GPU.
    return F.cross_entropy(logits, target, reduction="none").mean()
