"""Attention per pixel and channel, learnt by SwAV's loss on top of a frozen representation.

Source: the code of LUSS's authors (PASS, step 2.1).
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.attend.methods.pixel_attention.config import PixelAttentionConfig
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import describe_parts, model_hash, read_model, write_model
from stages.core.engine.devices import seed_everything
from stages.core.engine.loop import train
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.swapped_prediction import SwappedPrediction
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.core.nets.attention import ChannelAttention, enlarge_map
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import ProjectionHead
from stages.core.resume import resumable_work

States = Mapping[str, Mapping[str, Tensor]]


def attend(config: PixelAttentionConfig) -> None:
    """Train on the train split and write the model `artifacts/attend`.

    Raises:
        UserError: The pretrained model has another number of prototypes, or training goes wrong.
    """
    card, states = read_model("pretrain", ["backbone", "projector", "prototypes"])
    index = read_images().in_splits("train")
    seed_everything(config.training.seed)
    method = PixelAttentionTraining(config, card, states)
    inputs = {"images": index.content_hash, "pretrain": model_hash("pretrain")}
    with resumable_work("attend", config, inputs) as work:
        history = train(method, config.training, index, "attend", work)
        parts = method.export()
        described = {
            "method": config.method,
            "parts": describe_parts(parts),
            "params": config.model_dump(mode="json"),
        }
        write_model("attend", parts, card.model_copy(update=described), history)


class PixelAttentionTraining(TrainingMethod):
    """Frozen network and image head; attention and prototypes that learn.

    Args:
        config: Its parameters.
        card: Of the pretrained model.
        states: The pretrained model's tensors by part; the attention's weights come from torch's generator.

    Raises:
        UserError: The model has another number of prototypes.
    """

    def __init__(self, config: PixelAttentionConfig, card: ModelCard, states: States) -> None:
        super().__init__()
        head, prototypes = card.parts.projector, card.parts.prototypes
        assert head is not None
        assert prototypes is not None
        if prototypes.count != config.prototypes:
            raise UserError(f"attend.prototypes = {config.prototypes}: the pretrained model has {prototypes.count}")
        self.config = config
        self.views = config.views
        self.features: FeatureNetwork = restore_features(card, states).requires_grad_(False)
        self.projector = ProjectionHead(self.features.size, head)
        self.projector.load_state_dict(dict(states["projector"]))
        self.projector.requires_grad_(False)
        self.attention = ChannelAttention(self.features.size, config.enlarge)
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
        z = self.projector((attention.float() * features).mean((2, 3))).chunk(len(batch.views))
        swapped = self.clustering(z, progress)
        return Losses(swapped.loss, {"attention": attention.detach().mean(), **swapped.diagnostics})

    def export(self) -> dict[str, nn.Module]:
        """The model with its attention and its new prototypes."""
        return {
            **self.features.parts,
            "attention": self.attention,
            "projector": self.projector,
            "prototypes": self.clustering.prototypes,
        }
