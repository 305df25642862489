"""What RCA costs with many categories, on drawn data: memory, seconds of each part of a step, and of an epoch."""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.console import Console

from stages.core.artifacts.image_index import ImageIndex
from stages.core.config.networks import BackboneConfig
from stages.core.engine.method import TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import build_features
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.methods.rca.config import MemoryConfig, RCAConfig
from stages.pseudolabel.methods.rca.method import RegionalContrastTraining
from tests.benchmarks.views import photographs

STEPS = 2
"""Timed of each kind, after one that is not."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--classes", type=int, default=919)
    parser.add_argument("--entries", type=int, default=500, help="of the memory, of each class (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=16, help="photographs a step (default: %(default)s)")
    parser.add_argument("--size", type=int, default=224, help="side of a view in pixels (default: %(default)s)")
    parser.add_argument("--stride", type=int, default=16, help="of the backbone (default: %(default)s)")
    parser.add_argument("--backbone", default="resnet18")


def run(args: argparse.Namespace) -> dict[str, object]:
    torch.manual_seed(0)
    with photographs(None, 2) as index:
        both, plain = build(args, index, True), build(args, index, False)
    buffers = {name: value.nbytes / 2**20 for name, value in both.named_buffers() if value.nbytes > 2**20}
    batch = draw_batch(args, args.classes * args.entries)
    start, peak = resident(), {}
    seconds = {"find centroids": clock(lambda: both.centroids.find(both.memory.known, 0), 1, warms_up=False)}
    for name, method in (("step without memory", plain), ("step", both)):
        seconds[name] = clock(partial(take_step, method, batch), STEPS)
        peak[name] = resident() - start
    steps = args.classes * args.entries // args.batch
    seconds["epoch"] = seconds["find centroids"] + steps * seconds["step"]
    shown = ", ".join(f"{name} {value:.2f} s" for name, value in seconds.items())
    Console().print(f"{shown}; peak above the start, MiB: {peak}; buffers, MiB: {buffers}")
    return {
        "benchmark": "rca",
        "batch": args.batch,
        "seconds": seconds,
        "steps": steps,
        "peak_mib": peak,
        "buffers_mib": buffers,
    }


def build(args: argparse.Namespace, index: ImageIndex, has_memory: bool) -> RegionalContrastTraining:
    """RCA with a full memory, or its two heads alone."""
    ids = np.repeat(np.arange(args.classes), args.entries)[:, None]
    parts = {} if has_memory else {"contrast": None, "aggregation": None}
    memory = MemoryConfig(size=args.entries if has_memory else 1)
    config = RCAConfig.model_validate({"memory": memory, **parts})
    features = build_features(BackboneConfig(name=args.backbone, output_stride=args.stride), None)
    method = RegionalContrastTraining(config, features, Tags(index, ids, args.classes)).train()
    method.memory.entries.normal_()
    method.memory.is_set.fill_(True)
    return method


def draw_batch(args: argparse.Namespace, photographs: int) -> Batch:
    images = torch.randn(args.batch, 3, args.size, args.size).contiguous(memory_format=torch.channels_last)
    positions = torch.from_numpy(np.random.default_rng(0).integers(0, photographs, args.batch))
    return Batch([images], torch.zeros(args.batch, 1, 5), {}, positions)


def take_step(method: RegionalContrastTraining, batch: Batch) -> None:
    progress = TrainingProgress(1001, 3000, 1, 3)  # In the middle of an epoch: centroids are not sought.
    method.step(batch, progress).total.backward()
    method.after_step(progress)
    method.zero_grad(set_to_none=True)


def clock(work: Callable[[], object], times: int, warms_up: bool = True) -> float:
    """Mean CPU seconds of a call, after one that does not count."""
    if warms_up:
        work()
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def resident() -> float:
    """Largest memory of this process so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
