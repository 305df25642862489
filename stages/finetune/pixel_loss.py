"""Cross-entropy of pixels: a mean over those that have a label, of all photographs of a step."""

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.artifacts.label_maps import IGNORE
from stages.core.engine.distributed import sum_over_processes, world_size
from stages.core.engine.method import Losses


def count_labelled(target: Tensor) -> Tensor:
    """Pixels of labels (B, H, W) that are not ignored, on average over the processes that train together."""
    return sum_over_processes((target != IGNORE).sum()) / world_size()


def classify_pixels(logits: Tensor, target: Tensor) -> Losses:
    """Loss and accuracy of logits (B, K, H, W) against labels (B, H, W); ignored pixels do not count.

    Training averages over processes, which gives the mean over the pixels of all, however many each has.
    """
    counted = count_labelled(target)
    counted = torch.where(counted > 0, counted, 1)
    # Summed apart: torch's own sum over maps adds in any order on a GPU.
    loss = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="none").sum() / counted
    with torch.no_grad():
        accuracy = (logits.argmax(1) == target).sum() / counted
    return Losses(loss, {"accuracy": accuracy})
