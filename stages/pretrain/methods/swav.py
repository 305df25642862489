"""SwAV: online clustering with swapped predictions of codes, multi-crop.

Source: Caron et al., Unsupervised Learning of Visual Features by Contrasting Cluster Assignments, NeurIPS 2020.
"""

from typing import Any, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn

from stages.core.artifacts.models import InputCard
from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.online_clustering import Queue, sinkhorn, swav_loss
from stages.core.images.dataset import Batch
from stages.core.images.views import CropSpec, ViewSpec
from stages.core.nets.backbones import BackboneConfig, build_backbone, embedding_size
from stages.core.nets.heads import ProjectionConfig, ProjectionHead, Prototypes
from stages.core.nets.weights import WeightsFile, load_weights
from stages.core.params import Params

_ASSIGNED = 2


class SwAVConfig(Params):
    """SwAV. The defaults are the paper's, for 256 photographs a batch."""

    method: Literal["swav"] = "swav"
    backbone: BackboneConfig = BackboneConfig()
    weights: WeightsFile | None = None
    """Weights to start from; null for random ones."""
    views: ViewSpec = ViewSpec(
        crops=(CropSpec(count=2, size=224, scale=(0.14, 1.0)), CropSpec(count=6, size=96, scale=(0.05, 0.14)))
    )
    """The first group must hold the two views that get codes. Section 4.1: 2 x 224 + 6 x 96."""
    projector: ProjectionConfig = ProjectionConfig()
    prototypes: int = Field(3000, ge=2)
    """P. Section A.1: 3000."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax, equation 2."""
    epsilon: float = Field(0.05, gt=0)
    """Smoothness of the codes, equation 3."""
    queue: int = Field(0, ge=0)
    """Embeddings of earlier batches that help to assign codes; 0 for none. Section 4.1: 3840 for small batches."""
    queue_start_epoch: int = Field(15, ge=0)
    """Epoch from which the queue fills; it is used once full. Section 4.1: 15."""
    freeze_prototypes: int = Field(313, ge=0)
    """Iterations before the prototypes learn. Official code: 313 (5005 for small batches)."""
    training: TrainingConfig = TrainingConfig(epochs=200)

    @field_validator("views")
    @classmethod
    def _has_two_large_views(cls, views: ViewSpec) -> ViewSpec:
        if views.crops[0].count < _ASSIGNED:
            raise ValueError("the first group of crops must hold at least two views")
        return views

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
        self.config = config
        self.views = config.views
        self.backbone = build_backbone(config.backbone)
        if config.weights:
            load_weights(self.backbone, config.weights)
        self.projector = ProjectionHead(embedding_size(self.backbone), config.projector)
        self.prototypes = Prototypes(config.projector.projected, config.prototypes)
        length = config.queue - config.queue % config.training.batch_size
        self.queue = Queue(_ASSIGNED, length, config.projector.projected)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Swapped prediction of the codes of the two large views from all views."""
        self.prototypes.normalise()
        z = self._project(batch.views)  # V x (B, D)
        scores = [self._score(each) for each in z]  # V x (B, P)
        codes = [self._assign(view, z[view].detach(), scores[view].detach()) for view in range(_ASSIGNED)]
        if progress.epoch >= self.config.queue_start_epoch:
            for view in range(_ASSIGNED):
                self.queue.push(view, z[view].detach())
        return Losses(swav_loss(scores, codes, self.config.temperature), _describe_codes(codes[0]))

    def after_gradients(self, progress: TrainingProgress) -> None:
        """Leave the prototypes as they are for the first iterations."""
        if progress.iteration < self.config.freeze_prototypes:
            self.prototypes.weight.grad = None

    def export(self) -> dict[str, nn.Module]:
        """Backbone, projector and prototypes."""
        return {"backbone": self.backbone, "projector": self.projector, "prototypes": self.prototypes}

    def _project(self, views: list[Tensor]) -> list[Tensor]:
        """Embed all views, those of one size in one pass."""
        sizes = [view.shape[-1] for view in views]
        pooled = [
            self.backbone(torch.cat([view for view, side in zip(views, sizes, strict=True) if side == size])).mean(
                (2, 3)
            )
            for size in dict.fromkeys(sizes)
        ]
        # The heads are small, and cosines divided by epsilon want more digits than bf16 has.
        with torch.autocast(views[0].device.type, enabled=False):
            return list(self.projector(torch.cat(pooled).float()).chunk(len(views)))

    def _score(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            scores: Tensor = self.prototypes(z)
        return scores

    def _assign(self, view: int, z: Tensor, scores: Tensor) -> Tensor:
        """Codes (B, P) of a batch; a full queue takes part in the assignment."""
        if self.queue.is_full:
            scores = torch.cat([self._score(self.queue.embeddings[view]).detach(), scores])
        return sinkhorn(scores, self.config.epsilon)[-len(z) :]


def _describe_codes(codes: Tensor) -> dict[str, Tensor]:
    """How peaked the codes are and how evenly the prototypes are used, both as entropies in nats."""
    mean = codes.mean(0)
    return {
        "code_entropy": -(codes * codes.clamp_min(1e-12).log()).sum(1).mean(),
        "prototype_entropy": -(mean * mean.clamp_min(1e-12).log()).sum(),
    }
