"""Swapped prediction: prototypes, queue and codes around SwAV's loss, for every method that learns by it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.core.engine.collapse import embedding_std, mean_entropy, prototype_use
from stages.core.engine.online_clustering import Queue, sinkhorn, swav_loss
from stages.core.nets.heads import Prototypes
from stages.core.params import Params

ASSIGNED = 2
"""Views that get codes: the first two, which are large."""


class SwappedPredictionConfig(Params):
    """Prototypes, codes and queue. The defaults are SwAV's for 256 photographs a batch."""

    prototypes: int = Field(3000, ge=2)
    """P. Section A.1: 3000."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax, equation 2."""
    epsilon: float = Field(0.05, gt=0)
    """Smoothness of the codes, equation 3."""
    queue: int = Field(0, ge=0)
    """Embeddings of earlier batches that help to assign codes; 0 for none. Section 4.1: 3840 for small batches."""
    queue_start_epoch: int = Field(15, ge=0)
    """Epoch from which the queue fills; it is used once full. Section 4.1: 15."""
    freeze_prototypes: int = Field(313, ge=0)
    """Iterations before the prototypes learn. Official code: 313 (5005 for small batches)."""

    @property
    def chance(self) -> float:
        """The loss while every prototype is as likely as any other."""
        return math.log(self.prototypes)


class Swapped(NamedTuple):
    """What swapped prediction makes of a batch."""

    loss: Tensor
    codes: list[Tensor]
    """(B, P) of each assigned view, without gradient."""
    diagnostics: dict[str, Tensor]
    """How peaked the codes are (entropy in nats), how evenly the prototypes are used, and how far embeddings differ."""


class SwappedPrediction(nn.Module):
    """Codes of the two large views, predicted from every other view.

    Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
    """

    def __init__(self, config: SwappedPredictionConfig, size: int, batch_size: int) -> None:
        super().__init__()
        self._config = config
        self.prototypes = Prototypes(size, config.prototypes)
        self.queue = Queue(ASSIGNED, config.queue - config.queue % batch_size, size)

    def forward(self, z: Sequence[Tensor], epoch: int) -> Swapped:
        """Loss and codes of unit vectors (B, D), one tensor per view; the prototypes are brought to length 1 first."""
        self.prototypes.normalize()
        scores = [self.score(each) for each in z]  # V x (B, P)
        codes = [self._assign(view, z[view].detach(), scores[view].detach()) for view in range(ASSIGNED)]
        if epoch >= self._config.queue_start_epoch:
            for view in range(ASSIGNED):
                self.queue.push(view, z[view].detach())
        diagnostics = {
            "code_entropy": mean_entropy(codes[0]),
            "prototype_use": prototype_use((scores[0] / self._config.temperature).softmax(1)),
            "embedding_std": embedding_std(z[0]),
        }
        return Swapped(swav_loss(scores, codes, self._config.temperature), codes, diagnostics)

    def score(self, z: Tensor) -> Tensor:
        """(B, D) unit vectors to scores (B, P), in full precision: cosines over epsilon want more digits than bf16."""
        with torch.autocast(z.device.type, enabled=False):
            scores: Tensor = self.prototypes(z.float())
        return scores

    def after_gradients(self, iteration: int) -> None:
        """Leave the prototypes as they are for the first iterations."""
        if iteration < self._config.freeze_prototypes:
            self.prototypes.weight.grad = None

    def _assign(self, view: int, z: Tensor, scores: Tensor) -> Tensor:
        """Codes (B, P) of a batch; a full queue takes part in the assignment."""
        if self.queue.is_full:
            scores = torch.cat([self.score(self.queue.share(view)).detach(), scores])
        return sinkhorn(scores, self._config.epsilon)[-len(z) :]
