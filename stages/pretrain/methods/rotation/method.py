"""Rotation: a network tells by how many quarter turns a photograph was turned.

Source: Gidaris et al., Unsupervised Representation Learning by Predicting Image Rotations, ICLR 2018.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import mean_over_rows
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.pretrain.methods.rotation.config import RotationConfig

TURNS = 4
_CAUSES = "which way is up does not show in the photographs, as in those taken from above"


class Rotation(TrainingMethod):
    """Backbone, and a linear classifier of turns on its pooled features."""

    def __init__(self, config: RotationConfig) -> None:
        super().__init__()
        self.views = config.views
        self.expected = Expectation({"loss": math.log(TURNS)}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.classifier = nn.Linear(embedding_size(self.backbone), TURNS)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the turn, every photograph in all four of them; equations 2 and 3."""
        turned, turns = turn_views(batch.views[0])
        logits = self.classifier(self.backbone(turned).mean((2, 3))).float()  # (4 B, 4)
        accuracy = mean_over_rows((logits.argmax(1) == turns).float())
        return Losses(F.cross_entropy(logits, turns), {"accuracy": accuracy})

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}


def turn_views(views: Tensor) -> tuple[Tensor, Tensor]:
    """Square views (B, 3, S, S) in all four turns (4 B, 3, S, S), turn by turn, and the turns (4 B,) in quarters."""
    turned = torch.cat([views.rot90(turn, (2, 3)) for turn in range(TURNS)])
    turns = torch.arange(TURNS, device=views.device).repeat_interleave(len(views))
    return turned.contiguous(memory_format=torch.channels_last), turns
