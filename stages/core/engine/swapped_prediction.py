"""SwAV's swapped prediction with prototypes, codes and queue, shared by all methods that use it."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stages.core.config.codes import CodesConfig
from stages.core.engine.collapse import embedding_std, mean_entropy, prototype_use
from stages.core.engine.method import TrainingProgress
from stages.core.engine.online_clustering import Queue, sinkhorn, swav_loss
from stages.core.nets.heads import Prototypes

ASSIGNED = 2
"""Views that get codes: the first two, which are large."""


class SwappedPredictionResult(NamedTuple):
    """Loss, codes and diagnostics of a batch."""

    loss: Tensor
    codes: list[Tensor]
    """(B, P) of each assigned view, without gradient."""
    diagnostics: dict[str, Tensor]
    """How peaked the codes are (entropy in nats), how evenly the prototypes are used, and how far embeddings differ."""


class SwappedPrediction(nn.Module):
    """Predicts the codes of the two large views from every other view.

    Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
    """

    def __init__(self, config: CodesConfig, size: int, batch_size: int) -> None:
        super().__init__()
        self._config = config
        self.prototypes = Prototypes(size, config.prototypes, config.freeze_prototypes)
        self.queue = Queue(ASSIGNED, config.queue - config.queue % batch_size, size)

    def forward(self, z: Sequence[Tensor], progress: TrainingProgress) -> SwappedPredictionResult:
        """Loss and codes of unit vectors (B, D), one tensor per view; normalizes the prototypes first."""
        self.prototypes.normalize()
        scores = [self.prototypes(each) for each in z]  # V x (B, P)
        codes = [self._assign(view, z[view].detach(), scores[view].detach()) for view in range(ASSIGNED)]
        if progress.has_reached(self._config.queue_start_epoch, self._config.queue_start_iteration):
            for view in range(ASSIGNED):
                self.queue.push(view, z[view].detach())
        diagnostics = {
            "code_entropy": mean_entropy(codes[0]),
            "prototype_use": prototype_use((scores[0] / self._config.temperature).softmax(1)),
            "embedding_std": embedding_std(z[0]),
        }
        return SwappedPredictionResult(swav_loss(scores, codes, self._config.temperature), codes, diagnostics)

    def _assign(self, view: int, z: Tensor, scores: Tensor) -> Tensor:
        """Codes (B, P) of a batch; a full queue takes part in the assignment."""
        if self.queue.is_full:
            scores = torch.cat([self.prototypes(self.queue.share(view)).detach(), scores])
        return sinkhorn(scores, self._config.epsilon)[-len(z) :]
