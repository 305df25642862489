"""What bounds SwAV's training here: the loaders that decode and cut, or the device that trains."""

from __future__ import annotations

import argparse
import time

from rich.console import Console

from stages.core.cli import worker_count
from stages.core.images.dataset import EpochBatches, ViewDataset, augment_batch, load_batches
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.benchmarks.step import Training, configure
from tests.benchmarks.throughput import synchronize
from tests.benchmarks.views import photographs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)


def run(args: argparse.Namespace) -> dict[str, object]:
    spec = SwAVConfig().views
    training = Training(configure(args.backbone, spec, args.batch))
    with photographs(args.data, args.batch * args.steps) as index:
        batches = EpochBatches(len(index), args.batch, 0, range(args.steps))
        start = time.perf_counter()
        loaded = list(load_batches(ViewDataset(index, spec, {}, 0), batches, training.fabric.device))
        loading = time.perf_counter() - start
    training.step(augment_batch(loaded[0], spec, training.fabric.device))
    synchronize()
    start = time.perf_counter()
    for raw in loaded[1:]:
        training.step(augment_batch(raw, spec, training.fabric.device))
    synchronize()
    rates = {
        "loaders": args.batch * args.steps / loading,
        "device": args.batch * (args.steps - 1) / (time.perf_counter() - start),
    }
    bound = "decode-bound" if rates["loaders"] < rates["device"] else "device-bound"
    workers = max(worker_count() - 1, 1)
    Console().print(f"{bound}: {workers} loaders give {rates['loaders']:.1f} photographs a second, ", end="")
    Console().print(f"{training.fabric.device} trains {rates['device']:.1f}")
    return {"benchmark": "loader", "bound": bound, "workers": workers, **rates}
