"""NPID: every photograph is a class of its own, told by a memory of what the network last made of it.

Source: Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, CVPR 2018; the softmax over
drawn negatives of OpenSelfSup in place of noise-contrastive estimation.
"""

import math

from torch import nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine.collapse import embedding_std
from stages.core.engine.contrastive import contrast_rows, draw_others
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.memory import Memory
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.pretrain.methods.npid.config import NPIDConfig

_CAUSES = "temperature is too high, last_norm: true is needed, or there are too few epochs for so many photographs"
_DRAW = 2
"""Tells the draw of negatives from the other ones of a seed."""


class NPID(TrainingMethod):
    """Backbone, a linear layer, and a memory with one row per photograph."""

    memory: Memory

    def __init__(self, config: NPIDConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self.backbone = build_backbone(config.backbone, config.weights)
        linear: nn.Module = nn.Linear(embedding_size(self.backbone), config.projected)
        norm = nn.BatchNorm1d(config.projected, affine=False)
        self.embedding = nn.Sequential(linear, norm) if config.last_norm else linear

    def lay_out(self, index: ImageIndex) -> None:
        """A row for every photograph; while nothing is learnt, any of those told from is as near as the own one."""
        self.memory = Memory(len(index), self.config.projected, self.config.kept)
        chance = math.log(max(min(self.config.negatives + 1, len(index)), 2))
        self.expected = Expectation({"loss": chance}, causes=_CAUSES)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Tell each photograph's row from others; equation 2. Then the rows of the batch move."""
        z = F.normalize(self.embedding(self.backbone(batch.views[0]).mean((2, 3))).float(), dim=1)
        key = [self.config.training.seed, _DRAW, progress.iteration]
        others = draw_others(len(self.memory.rows), self.config.negatives, key)
        loss = contrast_rows(z, self.memory.rows.clone(), batch.positions, others, self.config.temperature)
        self.memory.update(batch.positions, z.detach())
        return Losses(loss, {"embedding_std": embedding_std(z)})

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}
