"""SimCLR: two views of a photograph find each other among all views of the batch.

Source: Chen et al., A Simple Framework for Contrastive Learning of Visual Representations, ICML 2020.
"""

import math

import torch
from torch import nn

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine.collapse import embedding_std
from stages.core.engine.contrastive import nt_xent
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.heads import ProjectionHead
from stages.pretrain.methods.simclr.config import SimCLRConfig

_CAUSES = "training.batch_size is too small, temperature too high, or projector.last_norm: true is needed"


class SimCLR(TrainingMethod):
    """Backbone and projection head; the batch itself gives the negatives."""

    def __init__(self, config: SimCLRConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self._expect(config.training.batch_size)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.projector = ProjectionHead(embedding_size(self.backbone), config.projector)

    def lay_out(self, index: ImageIndex) -> None:
        """Few photographs make small batches."""
        self._expect(len(index))

    def _expect(self, photographs: int) -> None:
        """While nothing is learnt, a view's partner is any of the other views of a step: ln(2 N - 1)."""
        views = 2 * min(self.config.training.batch_size, photographs)
        self.expected = Expectation({"loss": math.log(max(views - 1, 2))}, causes=_CAUSES)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """NT-Xent over both views of the photographs of all processes."""
        pooled = self.backbone(torch.cat(batch.views)).mean((2, 3))
        first, second = self.projector(pooled).chunk(2)
        return Losses(nt_xent(first, second, self.config.temperature), {"embedding_std": embedding_std(first)})

    def export(self) -> dict[str, nn.Module]:
        """Backbone and projector."""
        return {"backbone": self.backbone, "projector": self.projector}
