"""What MoCo and PCL share: keys by a slow copy of the network, shuffled, and a queue of earlier ones."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.contrastive import info_nce
from stages.core.engine.momentum import MomentumCopy, restore_order, shuffle_batch
from stages.core.engine.online_clustering import Queue


class Contrasted(NamedTuple):
    """What comes of a batch."""

    loss: Tensor
    accuracy: Tensor
    """Share of queries that are nearest to their own key."""
    queries: Tensor
    """(B, D) unit vectors."""


class MomentumContrast(nn.Module):
    """The key network and the queue, random at first.

    Args:
        encoder: From images (B, 3, H, W) to vectors (B, D); the caller holds and trains it.
        size: D
        negatives: K, keys of the queue.
        shuffle_groups: Parts in which shuffled keys pass, each with batch statistics of its own.

    Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020, algorithm 1.
    """

    def __init__(self, encoder: nn.Module, size: int, negatives: int, shuffle_groups: int) -> None:
        super().__init__()
        self._groups = shuffle_groups
        self.keys = MomentumCopy(encoder, buffers="own")
        self.queue = Queue(1, negatives, size)
        self.queue.push(0, F.normalize(torch.randn(negatives, size), dim=1))

    def forward(self, queries: Tensor, images: Tensor, temperature: float) -> Contrasted:
        """Tell each query's key, made of its photograph's other view, from the queue's; the keys then join it.

        Args:
            queries: (B, D), of any length.
            images: (B, 3, H, W) that the keys are made of.
            temperature: Of the softmax.
        """
        queries, keys = F.normalize(queries.float(), dim=1), self._encode(images)
        loss, accuracy = info_nce(queries, keys, self.queue.embeddings[0].clone(), temperature)
        self.queue.push(0, keys)
        return Contrasted(loss, accuracy, queries)

    def follow(self, encoder: nn.Module, momentum: float) -> None:
        """Let the key network follow."""
        self.keys.update(encoder, momentum)

    @torch.no_grad()
    def _encode(self, images: Tensor) -> Tensor:
        shuffled, order = shuffle_batch(images, self._groups)
        parts = [self.keys(part) for part in shuffled.tensor_split(self._groups)]
        return F.normalize(restore_order(torch.cat(parts), order).float(), dim=1)
