"""A step of a method as the loop takes it, beside the same step in plain fp32 with lightly's heads and loss."""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from stages.core.config.networks import BackboneConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.core.engine.devices import seed_everything, start_fabric
from stages.core.engine.history import History
from stages.core.engine.loop import TrainingPlan, set_up, train_step
from stages.core.engine.optim import build_optimizer
from stages.core.engine.state import TrainingState
from stages.core.images.dataset import Batch
from stages.pretrain.config import TrainedPretrainConfig
from stages.pretrain.methods.byol.config import BYOLConfig
from stages.pretrain.methods.moco_v2.config import MoCoConfig
from stages.pretrain.methods.simclr.config import SimCLRConfig
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.benchmarks.peers import PEERS
from tests.benchmarks.timing import alternate

PEER, OURS = "plain fp32 NCHW, lightly", "ours"
CONFIGS: dict[str, Callable[[], TrainedPretrainConfig]] = {
    "swav": SwAVConfig,
    "simclr": SimCLRConfig,
    "moco_v2": MoCoConfig,
    "byol": BYOLConfig,
}
WITH_BF16, WITHOUT = {"swav": 1.9}, {"swav": 0.0}
"""Targets, by method; of the others 1.5 and 1.1."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--method", default="swav", choices=sorted(CONFIGS))
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--size", type=int, default=96, help="side of the two views (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)


def run(args: argparse.Namespace) -> dict[str, object]:
    views = [torch.randn(args.batch, 3, args.size, args.size) for _ in range(2)]
    steps = {
        PEER: plain_step(args.method, args.backbone, views),
        OURS: our_step(args.method, args.backbone, args.size, views),
    }
    seconds = alternate(steps, args.rounds)
    speeds = {name: args.batch / taken for name, taken in seconds.items()}
    has_bf16 = torch.cpu._is_avx512_bf16_supported()
    target = WITH_BF16.get(args.method, 1.5) if has_bf16 else WITHOUT.get(args.method, 1.1)
    ratio = speeds[OURS] / speeds[PEER]
    shown = ", ".join(f"{name} {speed:.1f} images per CPU second" for name, speed in speeds.items())
    Console().print(f"{args.method}: {shown}: {ratio:.2f}x, wanted {target} (bf16: {has_bf16})")
    found = {"benchmark": "step", "method": args.method, **speeds, "ratio": ratio, "bf16": has_bf16}
    return {**found, "holds": ratio >= target}


def our_step(method: str, backbone: str, size: int, views: list[Tensor]) -> Callable[[], object]:
    spec = MultiCropConfig(crops=(CropConfig(count=len(views), size=size, scale=(0.14, 1.0)),))
    training = Training(configure(backbone, spec, len(views[0]), method))
    batch = Batch([view.contiguous(memory_format=torch.channels_last) for view in views], None, {}, None)
    return lambda: training.step(batch)


def configure(backbone: str, spec: MultiCropConfig, batch_size: int, method: str = "swav") -> TrainedPretrainConfig:
    """Of equal length for all, by the method's own optimizer."""
    usual = CONFIGS[method]()
    training = usual.training.model_copy(update={"epochs": 1000, "batch_size": batch_size})
    given = {"backbone": BackboneConfig(name=backbone), "views": spec, "training": training}
    return type(usual).model_validate(given)


class Training:
    """A method as the loop has it before its first iteration."""

    def __init__(self, config: TrainedPretrainConfig) -> None:
        seed_everything(0)
        self.fabric, self.method = start_fabric(), config.build()
        self._network = set_up(self.fabric, self.method)
        self._plan = TrainingPlan(config.training, config.training.batch_size)
        optimizer = build_optimizer(self.method, config.training.optimizer, config.training.batch_size)
        self._state = TrainingState(self.method, optimizer, History(self._plan.iterations), Path())

    def step(self, batch: Batch) -> None:
        train_step(self.fabric, self._network, self._state, batch, self._plan)


def plain_step(method: str, backbone: str, views: list[Tensor]) -> Callable[[], object]:
    network = PEERS[method](backbone).train()
    optimizer = network.optimizer()
    given = copy.deepcopy(views)

    def step() -> None:
        network(given).backward()
        optimizer.step()
        optimizer.zero_grad()
        network.follow()

    return step
