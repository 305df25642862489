"""BYOL: a network predicts what its slow copy makes of another view of the same photograph; no negatives.

Source: Grill et al., Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning, NeurIPS 2020.
"""

import torch
from torch import nn
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std
from stages.core.engine.contrastive import regression_loss
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.momentum import MomentumCopy
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.heads import GlobalPool
from stages.core.nets.perceptron import Perceptron
from stages.pretrain.methods.byol.config import BYOLConfig

_CHANCE = 4.0
"""Two directions of 2, the squared distance of unit vectors that know nothing of each other."""
_CAUSES = "momentum.value is too near to 1 for so few steps, the warm-up too long, or last_norm: true is needed"


class BYOL(TrainingMethod):
    """The online backbone, projector and predictor, and the target network that follows the first two."""

    def __init__(self, config: BYOLConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self.expected = Expectation({"loss": _CHANCE}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        projector: nn.Module = Perceptron(embedding_size(self.backbone), config.hidden, config.projected)
        norm = nn.BatchNorm1d(config.projected, affine=False)
        self.projector = nn.Sequential(projector, norm) if config.last_norm else projector
        self.predictor = Perceptron(config.projected, config.hidden, config.projected)
        self.target = MomentumCopy(self._online, buffers="own")

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Predict the target's projection of each view from the other one; equation 2, both directions."""
        views = torch.cat(batch.views)
        first, second = self.predictor(self._online(views)).chunk(2)
        of_first, of_second = self.target(views).chunk(2)
        loss = regression_loss(first, of_second) + regression_loss(second, of_first)
        return Losses(loss, {"embedding_std": embedding_std(F.normalize(of_first, dim=1))})

    def after_step(self, progress: TrainingProgress) -> None:
        """Let the target follow; equation 1."""
        self.target.update(self._online, self.config.momentum.at(progress))

    def export(self) -> dict[str, nn.Module]:
        """The online backbone."""
        return {"backbone": self.backbone}

    @property
    def _online(self) -> nn.Module:
        return nn.Sequential(self.backbone, GlobalPool(), self.projector)
