"""DINO: a student predicts how its slow teacher sorts other views of the same photograph; no labels, no negatives.

Source: Caron et al., Emerging Properties in Self-Supervised Vision Transformers, ICCV 2021; what the paper leaves open
from the authors' code at revision 7c446df.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std, mean_entropy, prototype_use
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import mean_over_processes
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.momentum import MomentumCopy
from stages.core.engine.online_clustering import swav_loss
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embed_images, embedding_size
from stages.pretrain.methods.dino.config import DINOConfig
from stages.pretrain.methods.dino.confusion import CHANCE, confusion
from stages.pretrain.methods.dino.head import DINOHead
from stages.pretrain.multi_crop import map_views

_CAUSES = (
    "teacher_temperature is too high, head.prototypes are too many for so few photographs, or views.photometric leaves "
    "the views of a photograph too little in common"
)
TAUGHT = 2
"""Views that the teacher sees: the first two, which are large."""


class ImageEncoder(nn.Module):
    """A backbone, read as one embedding per image."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, L): class tokens, or the mean of the map of a network that has none."""
        return embed_images(self.backbone, images)


class DINO(TrainingMethod):
    """Student and teacher, each a backbone with a head, and the center of the teacher's scores."""

    center: Tensor

    def __init__(self, config: DINOConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self.expected = Expectation({"confusion": CHANCE}, causes=_CAUSES)
        self.encoder = ImageEncoder(build_backbone(config.backbone, config.weights))
        self.head = DINOHead(embedding_size(self.encoder.backbone), config.head)
        self.teacher = MomentumCopy(nn.ModuleList([self.encoder, self.head]), buffers="own")
        disable_drop_path(self.teacher)
        self.register_buffer("center", torch.zeros(config.head.prototypes))

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the teacher's assignments and the student's predictions from other views; equation 3."""
        temperature = self.config.teacher_temperature.at(progress.epoch)
        taught = self._teach(batch.views[:TAUGHT])
        targets = [((scores - self.center) / temperature).softmax(1) for scores in taught]
        embeddings = map_views(self.encoder, batch.views)
        scores = self.head(torch.cat(embeddings)).chunk(len(embeddings))
        self._move_center(torch.cat(taught))
        diagnostics = {
            "teacher_entropy": mean_entropy(targets[0]),
            "prototype_use": prototype_use(targets[0]),
            "confusion": confusion(scores[1], targets[0], self.config.temperature),
            "embedding_std": embedding_std(F.normalize(embeddings[0].float(), dim=1)),
        }
        return Losses(swav_loss(scores, targets, self.config.temperature), diagnostics)

    def after_gradients(self, progress: TrainingProgress) -> None:
        """Leave the head's last layer as it is in the first epochs."""
        if progress.epoch < self.config.freeze_last_layer:
            self.head.drop_last_gradient()

    def after_step(self, progress: TrainingProgress) -> None:
        """Let the teacher follow."""
        self.teacher.update(nn.ModuleList([self.encoder, self.head]), self.config.momentum.at(progress))

    def export(self) -> dict[str, nn.Module]:
        """The teacher's backbone, which is the better one of the two (section 4, figure 6)."""
        return {"backbone": self._teachers_parts[0].backbone}

    @property
    def _teachers_parts(self) -> tuple[Any, Any]:
        """Encoder and head of the teacher."""
        encoder, head = cast(nn.ModuleList, self.teacher.network)
        return encoder, head

    @torch.no_grad()
    def _teach(self, views: Sequence[Tensor]) -> list[Tensor]:
        """The teacher's scores (B, P) of each large view."""
        encoder, head = self._teachers_parts
        return list(head(encoder(torch.cat(list(views)))).chunk(len(views)))

    @torch.no_grad()
    def _move_center(self, scores: Tensor) -> None:
        """Move the center towards the mean of scores (B, P); equation 4."""
        self.center.lerp_(mean_over_processes(scores), 1 - self.config.center_momentum)


def disable_drop_path(network: nn.Module) -> None:
    """Switch stochastic depth off."""
    from timm.layers import DropPath

    for module in network.modules():
        if isinstance(module, DropPath):
            module.drop_prob = 0.0
