"""SwAV: online clustering with swapped predictions of codes, multi-crop.

Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stages.core.artifacts.models import InputCard
from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.swapped_prediction import SwappedPrediction, SwappedPredictionConfig
from stages.core.images.dataset import Batch
from stages.core.images.views import CropSpec, ViewSpec
from stages.core.nets.backbones import BackboneConfig, build_backbone, embedding_size
from stages.core.nets.heads import ProjectionConfig, ProjectionHead
from stages.core.nets.weights import WeightsFile, load_weights
from stages.pretrain.multi_crop import MultiCrop, map_views


class SwAVConfig(SwappedPredictionConfig):
    """SwAV. The defaults are the paper's, for 256 photographs a batch."""

    method: Literal["swav"] = "swav"
    backbone: BackboneConfig = BackboneConfig()
    weights: WeightsFile | None = None
    """Weights to start from; null for random ones."""
    views: MultiCrop = ViewSpec(
        crops=(CropSpec(count=2, size=224, scale=(0.14, 1.0)), CropSpec(count=6, size=96, scale=(0.05, 0.14)))
    )
    """The first group must hold the two views that get codes. Section 4.1: 2 x 224 + 6 x 96."""
    projector: ProjectionConfig = ProjectionConfig()
    training: TrainingConfig = TrainingConfig(epochs=200)

    @property
    def parts_card(self) -> dict[str, Any]:
        """The parts that are exported, with their configs."""
        return {
            "backbone": self.backbone.model_dump(mode="json"),
            "projector": self.projector.model_dump(mode="json"),
            "prototypes": {"count": self.prototypes},
        }

    @property
    def input_card(self) -> InputCard:
        """What the network expects to see."""
        return self.views.input_card

    def build(self) -> "SwAV":
        """The method, with fresh weights from torch's generator."""
        return SwAV(self)


class SwAV(TrainingMethod):
    """Backbone, projection head, prototypes and queue."""

    def __init__(self, config: SwAVConfig) -> None:
        super().__init__()
        self.views = config.views
        self.chance_loss = math.log(config.prototypes)
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
