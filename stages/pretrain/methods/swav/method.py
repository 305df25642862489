"""SwAV: online clustering with swapped predictions of codes, multi-crop.

Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
"""

import torch
from torch import Tensor, nn

from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.swapped_prediction import SwappedPrediction
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.heads import ProjectionHead
from stages.pretrain.methods.swav.config import SwAVConfig
from stages.pretrain.multi_crop import map_views


class SwAV(TrainingMethod):
    """Backbone, projection head, prototypes and queue."""

    def __init__(self, config: SwAVConfig) -> None:
        super().__init__()
        self.views = config.views
        self.expected = Expectation({"loss": config.chance}, config.freeze_prototypes)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.projector = ProjectionHead(embedding_size(self.backbone), config.projector)
        self.clustering = SwappedPrediction(config, config.projector.projected, config.training.batch_size)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Swapped prediction of the codes of the two large views from all views."""
        swapped = self.clustering(self._project(batch.views), progress)
        return Losses(swapped.loss, swapped.diagnostics)

    def export(self) -> dict[str, nn.Module]:
        """Backbone, projector and prototypes."""
        return {"backbone": self.backbone, "projector": self.projector, "prototypes": self.clustering.prototypes}

    def _project(self, views: list[Tensor]) -> list[Tensor]:
        pooled = torch.cat([features.mean((2, 3)) for features in map_views(self.backbone, views)])
        return list(self.projector(pooled).chunk(len(views)))
