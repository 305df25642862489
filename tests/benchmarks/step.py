"""A step of SwAV as the loop takes it, beside the same step in plain fp32 with lightly's heads and loss."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import timm
import torch
from rich.console import Console
from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig
from stages.core.config.training import TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.core.engine.devices import seed_everything, start_fabric
from stages.core.engine.history import History
from stages.core.engine.loop import TrainingPlan, set_up, train_step
from stages.core.engine.optim import build_optimizer
from stages.core.engine.state import TrainingState
from stages.core.images.dataset import Batch
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.benchmarks.timing import alternate

PEER, OURS = "plain fp32 NCHW, lightly", "ours"
TARGET = 1.9


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=96, help="side of the two views (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)


def run(args: argparse.Namespace) -> dict[str, object]:
    views = [torch.randn(args.batch, 3, args.size, args.size) for _ in range(2)]
    steps = {PEER: plain_step(args.backbone, views), OURS: our_step(args.backbone, args.size, views)}
    seconds = alternate(steps, args.rounds)
    speeds = {name: args.batch / taken for name, taken in seconds.items()}
    has_bf16 = torch.cpu._is_avx512_bf16_supported()
    ratio = speeds[OURS] / speeds[PEER]
    shown = ", ".join(f"{name} {speed:.1f} images per CPU second" for name, speed in speeds.items())
    Console().print(f"{shown}: {ratio:.2f}x (bf16: {has_bf16})")
    return {"benchmark": "step", **speeds, "ratio": ratio, "bf16": has_bf16, "holds": ratio >= TARGET or not has_bf16}


def our_step(backbone: str, size: int, views: list[Tensor]) -> Callable[[], object]:
    spec = MultiCropConfig(crops=(CropConfig(count=len(views), size=size, scale=(0.14, 1.0)),))
    training = Training(configure(backbone, spec, len(views[0])))
    batch = Batch([view.contiguous(memory_format=torch.channels_last) for view in views], None, {}, None)
    return lambda: training.step(batch)


def configure(backbone: str, spec: MultiCropConfig, batch_size: int) -> SwAVConfig:
    training = TrainingConfig(epochs=1000, batch_size=batch_size)
    return SwAVConfig(backbone=BackboneConfig(name=backbone), views=spec, training=training)


class Training:
    """SwAV as the loop has it before its first iteration."""

    def __init__(self, config: SwAVConfig) -> None:
        seed_everything(0)
        self.fabric, self.method = start_fabric(), config.build()
        self._network = set_up(self.fabric, self.method)
        self._plan = TrainingPlan(config.training, config.training.batch_size)
        optimizer = build_optimizer(self.method, config.training.optimizer, config.training.batch_size)
        self._state = TrainingState(self.method, optimizer, History(self._plan.iterations), Path())

    def step(self, batch: Batch) -> None:
        train_step(self.fabric, self._network, self._state, batch, self._plan)


class Plain(nn.Module):
    """SwAV as lightly's examples write it."""

    def __init__(self, backbone: str) -> None:
        from lightly.loss import SwaVLoss
        from lightly.models.modules import SwaVProjectionHead, SwaVPrototypes

        super().__init__()
        self.backbone = timm.create_model(backbone, num_classes=0)
        self.projector = SwaVProjectionHead(self.backbone.num_features, 2048, 128)
        self.prototypes = SwaVPrototypes(128, 3000)
        self.loss = SwaVLoss()

    def forward(self, views: list[Tensor]) -> Tensor:
        self.prototypes.normalize()
        scores = [self.prototypes(nn.functional.normalize(self.projector(self.backbone(view)))) for view in views]
        return self.loss(scores[:2], scores[2:])


def plain_step(backbone: str, views: list[Tensor]) -> Callable[[], object]:
    network = Plain(backbone).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)
    given = copy.deepcopy(views)

    def step() -> None:
        network(given).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
