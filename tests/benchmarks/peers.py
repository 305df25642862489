"""Methods as lightly's examples write them: a network that gives the loss of two views, and what follows a step."""

from __future__ import annotations

import copy
from typing import cast

import timm
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss, SwaVLoss
from lightly.models.modules import (
    BYOLPredictionHead,
    BYOLProjectionHead,
    MoCoProjectionHead,
    SimCLRProjectionHead,
    SwaVProjectionHead,
    SwaVPrototypes,
)
from lightly.models.utils import (
    batch_shuffle,
    batch_unshuffle,
    deactivate_requires_grad,
    update_momentum,
)
from lightly.utils.lars import LARS
from torch import Tensor, nn


class Peer(nn.Module):
    """A backbone and the heads above it."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = timm.create_model(backbone, num_classes=0)
        self.features = cast(int, self.backbone.num_features)

    def optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.01, momentum=0.9, weight_decay=1e-4)

    def follow(self) -> None:
        """What a slow copy does after a step."""


class SwAV(Peer):
    def __init__(self, backbone: str) -> None:
        super().__init__(backbone)
        self.projector = SwaVProjectionHead(self.features, 2048, 128)
        self.prototypes = SwaVPrototypes(128, 3000)
        self.loss = SwaVLoss()

    def forward(self, views: list[Tensor]) -> Tensor:
        self.prototypes.normalize()
        scores = [self.prototypes(nn.functional.normalize(self.projector(self.backbone(view)))) for view in views]
        return self.loss(scores[:2], scores[2:])


class SimCLR(Peer):
    def __init__(self, backbone: str) -> None:
        super().__init__(backbone)
        self.projector = SimCLRProjectionHead(self.features, 2048, 128)
        self.loss = NTXentLoss(0.1)

    def optimizer(self) -> torch.optim.Optimizer:
        return LARS(self.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-6)

    def forward(self, views: list[Tensor]) -> Tensor:
        first, second = (self.projector(self.backbone(view)) for view in views)
        return self.loss(first, second)


class MoCo(Peer):
    def __init__(self, backbone: str) -> None:
        super().__init__(backbone)
        self.projector = MoCoProjectionHead(self.features, 2048, 128)
        self.keys = nn.Sequential(copy.deepcopy(self.backbone), copy.deepcopy(self.projector))
        deactivate_requires_grad(self.keys)
        self.loss = NTXentLoss(0.2, memory_bank_size=(65536, 128))

    def forward(self, views: list[Tensor]) -> Tensor:
        queries = self.projector(self.backbone(views[0]))
        with torch.no_grad():
            shuffled, order = batch_shuffle(views[1])
            keys = batch_unshuffle(self.keys(shuffled), order)
        return self.loss(queries, keys)

    def follow(self) -> None:
        update_momentum(nn.Sequential(self.backbone, self.projector), self.keys, m=0.999)


class BYOL(Peer):
    def __init__(self, backbone: str) -> None:
        super().__init__(backbone)
        self.projector, self.predictor = BYOLProjectionHead(self.features, 4096, 256), BYOLPredictionHead()
        self.target = nn.Sequential(copy.deepcopy(self.backbone), copy.deepcopy(self.projector))
        deactivate_requires_grad(self.target)
        self.loss = NegativeCosineSimilarity()

    def optimizer(self) -> torch.optim.Optimizer:
        return LARS(self.parameters(), lr=0.01, momentum=0.9, weight_decay=1.5e-6)

    def forward(self, views: list[Tensor]) -> Tensor:
        predicted = [self.predictor(self.projector(self.backbone(view))) for view in views]
        with torch.no_grad():
            targets = [self.target(view) for view in views]
        return (self.loss(predicted[0], targets[1]) + self.loss(predicted[1], targets[0])) / 2

    def follow(self) -> None:
        update_momentum(nn.Sequential(self.backbone, self.projector), self.target, m=0.996)


PEERS: dict[str, type[Peer]] = {"swav": SwAV, "simclr": SimCLR, "moco_v2": MoCo, "byol": BYOL}
