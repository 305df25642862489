"""SwAV: online clustering with swapped predictions of codes, multi-crop.

Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.swapped_prediction import SwappedPrediction
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.heads import ProjectionHead
from stages.core.nets.weights import load_weights
from stages.pretrain.multi_crop import map_views
from stages.pretrain.multi_crop_clustering import MultiCropClusteringConfig


class SwAVConfig(MultiCropClusteringConfig):
    """SwAV. The defaults are the paper's, for 256 photographs a batch."""

    method: Literal["swav"] = "swav"

    def build(self) -> "SwAV":
        """The method, with fresh weights from torch's generator."""
        return SwAV(self)


class SwAV(TrainingMethod):
    """Backbone, projection head, prototypes and queue."""

    def __init__(self, config: SwAVConfig) -> None:
        super().__init__()
        self.views = config.views
        self.chance = {"loss": config.chance}
        self.backbone = build_backbone(config.backbone)
        if config.weights:
            load_weights(self.backbone, config.weights)
        self.projector = ProjectionHead(embedding_size(self.backbone), config.projector)
        self.clustering = SwappedPrediction(config, config.projector.projected, config.training.batch_size)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Swapped prediction of the codes of the two large views from all views."""
        swapped = self.clustering(self._project(batch.views), progress.epoch)
        return Losses(swapped.loss, swapped.diagnostics)

    def after_gradients(self, progress: TrainingProgress) -> None:
        """Leave the prototypes as they are for the first iterations."""
        self.clustering.after_gradients(progress.iteration)

    def export(self) -> dict[str, nn.Module]:
        """Backbone, projector and prototypes."""
        return {"backbone": self.backbone, "projector": self.projector, "prototypes": self.clustering.prototypes}

    def _project(self, views: list[Tensor]) -> list[Tensor]:
        pooled = torch.cat([features.mean((2, 3)) for features in map_views(self.backbone, views)])
        # The head is small, and cosines divided by epsilon want more digits than bf16 has.
        with torch.autocast(pooled.device.type, enabled=False):
            return list(self.projector(pooled.float()).chunk(len(views)))
