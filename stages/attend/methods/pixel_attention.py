"""Attention per pixel and channel, learnt by SwAV's loss on top of a frozen representation.

Source: the code of LUSS's authors (PASS, step 2.1).
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.models import Card
from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.optim import OptimizerConfig
from stages.core.engine.swapped_prediction import SwappedPrediction, SwappedPredictionConfig
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.core.images.views import CropConfig, MultiCropConfig
from stages.core.nets.attention import ChannelAttention, enlarge_map
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import ProjectionConfig, ProjectionHead

States = Mapping[str, Mapping[str, Tensor]]


class PixelAttentionConfig(SwappedPredictionConfig):
    """Train attention and prototypes; the rest of the model stays."""

    method: Literal["pixel_attention"] = "pixel_attention"
    views: MultiCropConfig = MultiCropConfig(crops=(CropConfig(count=2, size=224, scale=(0.08, 1.0)),))
    """PASS: 2 x 224, scale 0.08-1."""
    enlarge: int = Field(4, ge=1)
    """Times that the map is enlarged before it is attended to. PASS: 4."""
    running_statistics: Literal["frozen", "drift"] = "drift"
    """Batch norm in the frozen layers: `drift` takes the batches' statistics, and the running ones follow them, as in
    PASS's code. With `frozen` ones the image head, which was trained on features of other lengths, gives all
    photographs nearly the same embedding where it ends in a batch norm."""
    prototypes: int = Field(500, ge=2)
    """P, as the pretrained model's, whose prototypes it starts from."""
    queue: int = Field(3840, ge=0)
    """PASS: 3840, from the first epoch."""
    queue_start_epoch: int = Field(0, ge=0)
    """PASS: 0."""
    freeze_prototypes: int = Field(0, ge=0)
    """PASS: 0."""
    training: TrainingConfig = TrainingConfig(epochs=20, optimizer=OptimizerConfig(base_lr=6.0))
    """PASS: 20 epochs, LARC 6.0 for 50 categories, 0.6 for more."""

    def build(self, card: Card, states: States) -> "PixelAttentionTraining":
        """The method on a pretrained model; the attention's weights come from torch's generator.

        Raises:
            UserError: The model has another number of prototypes.
        """
        count = card["parts"]["prototypes"]["count"]
        if count != self.prototypes:
            raise UserError(f"attend.prototypes = {self.prototypes}: the pretrained model has {count}")
        return PixelAttentionTraining(self, card, states)


class PixelAttentionTraining(TrainingMethod):
    """Frozen network and image head; attention and prototypes that learn."""

    def __init__(self, config: PixelAttentionConfig, card: Card, states: States) -> None:
        super().__init__()
        self.config = config
        self.views = config.views
        head = ProjectionConfig.model_validate(card["parts"]["projector"])
        self.features: FeatureNetwork = restore_features(card, states).requires_grad_(False)
        self.projector = ProjectionHead(self.features.size, head)
        self.projector.load_state_dict(dict(states["projector"]))
        self.projector.requires_grad_(False)
        self.attention = ChannelAttention(self.features.size)
        self.clustering = SwappedPrediction(config, head.projected, config.training.batch_size)
        self.clustering.prototypes.load_state_dict(dict(states["prototypes"]))

    def train(self, mode: bool = True) -> "PixelAttentionTraining":
        """Training mode; the frozen layers keep their statistics unless these are to drift."""
        super().train(mode)
        if self.config.running_statistics == "frozen":
            self.features.eval()
            self.projector.eval()
        return self

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """SwAV's loss of the two views' attended features, which are brought to length 1 first."""
        with torch.no_grad():
            features = enlarge_map(self.features(torch.cat(batch.views)), self.config.enlarge)
            features = F.normalize(features.float(), dim=1)
        attention = self.attention(features)
        with torch.autocast(features.device.type, enabled=False):
            z = self.projector((attention.float() * features).mean((2, 3))).chunk(len(batch.views))
        swapped = self.clustering(z, progress.epoch)
        return Losses(swapped.loss, {"attention": attention.detach().mean(), **swapped.diagnostics})

    def export(self) -> dict[str, nn.Module]:
        """The model with its attention and its new prototypes."""
        return {
            **self.features.parts,
            "attention": self.attention,
            "projector": self.projector,
            "prototypes": self.clustering.prototypes,
        }
