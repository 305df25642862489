"""MoCo v2: a view finds its photograph's key among the keys of earlier batches, which a slow copy has made.

Source: He et al., Momentum Contrast for Unsupervised Visual Representation Learning, CVPR 2020; Chen et al., Improved
Baselines with Momentum Contrastive Learning, 2020.
"""

import math

from torch import nn

from stages.core.engine.collapse import embedding_std
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.momentum_contrast import MomentumContrast
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.heads import GlobalPool
from stages.core.nets.perceptron import Perceptron
from stages.pretrain.methods.moco_v2.config import MoCoConfig

_CAUSES = "temperature is too high, or momentum.value too near to 1 for so few steps"


class MoCo(TrainingMethod):
    """Backbone and head, the key network that follows them, and the queue of keys."""

    def __init__(self, config: MoCoConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self.expected = Expectation({"loss": math.log(config.negatives + 1)}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.projector = Perceptron(embedding_size(self.backbone), config.hidden, config.projected, norm=False)
        self.contrast = MomentumContrast(self._encoder, config.projected, config.negatives, config.shuffle_groups)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Tell each query's key from the queue's."""
        found = self.contrast(self._encoder(batch.views[0]), batch.views[1], self.config.temperature)
        return Losses(found.loss, {"accuracy": found.accuracy, "embedding_std": embedding_std(found.queries)})

    def after_step(self, progress: TrainingProgress) -> None:
        """Let the key network follow."""
        self.contrast.follow(self._encoder, self.config.momentum.at(progress))

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}

    @property
    def _encoder(self) -> nn.Module:
        return nn.Sequential(self.backbone, GlobalPool(), self.projector)
