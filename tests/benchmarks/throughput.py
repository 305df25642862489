"""SwAV training on a GPU, from JPEG files and from tensors, beside a plain AMP + channels_last loop with lightly."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from stages.core.artifacts.image_index import ImageIndex
from stages.core.cli import worker_count
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.core.images.dataset import Batch, EpochBatches, ViewDataset, augment_batch, load_batches
from tests.benchmarks.peers import SwAV
from tests.benchmarks.step import Training, configure
from tests.benchmarks.views import photographs, torchvision_views

OURS, PEER = "ours", "plain AMP + channels_last, lightly"
TARGET, MARGIN = {"resnet50": 1500.0}, 1.3
"""Photographs per second on one H200, and times the plain loop."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbones", nargs="+", default=["resnet50", "resnet18"])
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--steps", type=int, default=30, help="timed steps of each candidate (default: %(default)s)")
    parser.add_argument("--warm-up", type=int, default=5, help="steps before the clock starts (default: %(default)s)")
    parser.add_argument("--sizes", nargs=2, type=int, default=[224, 96], help="sides of the 2 large and 6 small views")
    parser.add_argument("--limit", type=int, default=2048, help="photographs (default: %(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    large, small = args.sizes
    spec = MultiCropConfig(
        crops=(CropConfig(count=2, size=large, scale=(0.14, 1.0)), CropConfig(count=6, size=small, scale=(0.05, 0.14)))
    )
    peak = measure_peak()
    result: dict[str, object] = {"benchmark": "throughput", "device": device_name(), "matmul_tflops": peak / 1e12}
    with photographs(args.data, args.limit) as index:
        for backbone in args.backbones:
            result[backbone] = compare(backbone, spec, index, args, peak)
    return result


def compare(
    backbone: str, spec: MultiCropConfig, index: ImageIndex, args: argparse.Namespace, peak: float
) -> dict[str, dict[str, float]]:
    training = Training(configure(backbone, spec, args.batch))
    device = training.fabric.device
    plain = plain_step(backbone, device)
    fixed = [torch.randn(args.batch, 3, size, size, device=device) for size in spec.sizes]
    fixed = [view.contiguous(memory_format=torch.channels_last) for view in fixed]
    steps = args.warm_up + args.steps
    sources: dict[str, tuple[Callable[[Any], object], Iterable[Any]]] = {
        f"{OURS}, tensors": (training.step, repeat(Batch(fixed, None, {}, None), steps)),
        f"{PEER}, tensors": (plain, repeat(fixed, steps)),
        f"{OURS}, JPEG": (training.step, our_batches(index, spec, args.batch, steps, device)),
        f"{PEER}, JPEG": (plain, plain_batches(index, spec, args.batch, device)),
    }
    flops = count_flops(plain, fixed)
    rows = {name: measure(step, batches, args, flops / peak) for name, (step, batches) in sources.items()}
    for name, row in rows.items():
        peer = rows[name.replace(OURS, PEER)]
        row["ratio"] = row["images_per_second"] / peer["images_per_second"]
        Console(width=150).print(backbone, name, {key: round(value, 3) for key, value in row.items()})
    return rows


def measure(
    step: Callable[[Any], object], batches: Iterable[Any], args: argparse.Namespace, ideal: float
) -> dict[str, float]:
    """Speed, the share of the matrix products' peak that it is, and the share of time that was waited for data."""
    waited, start = 0.0, 0.0
    iterator = iter(batches)
    for number in range(args.warm_up + args.steps):
        if number == args.warm_up:
            synchronize()
            waited, start = 0.0, time.perf_counter()
        asked = time.perf_counter()
        batch = next(iterator)
        waited += time.perf_counter() - asked
        step(batch)
    synchronize()
    seconds = time.perf_counter() - start
    return {
        "images_per_second": args.batch * args.steps / seconds,
        "mfu": ideal * args.steps / seconds,
        "data_wait_share": waited / seconds,
        "idle_share": 1 - busy_seconds(step, batch) * args.steps / seconds if torch.cuda.is_available() else 0.0,
    }


def busy_seconds(step: Callable[[Any], object], batch: Any) -> float:
    """Seconds that the GPU computes in one step."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as profiler:
        step(batch)
        synchronize()
    return sum(event.self_device_time_total for event in profiler.key_averages()) / 1e6


def our_batches(
    index: ImageIndex, spec: MultiCropConfig, size: int, steps: int, device: torch.device
) -> Iterator[Batch]:
    loader = load_batches(ViewDataset(index, spec, {}, 0), EpochBatches(len(index), size, 0, range(steps)), device)
    return (augment_batch(raw, spec, device) for raw in loader)


class PlainViews(Dataset[list[torch.Tensor]]):
    """Files through torchvision's transforms."""

    def __init__(self, index: ImageIndex, spec: MultiCropConfig) -> None:
        self._paths = [Path("data") / index[position].path for position in range(len(index))]
        self._views = torchvision_views(spec)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, position: int) -> list[torch.Tensor]:
        return self._views(self._paths[position])


def plain_batches(
    index: ImageIndex, spec: MultiCropConfig, size: int, device: torch.device
) -> Iterator[list[torch.Tensor]]:
    while True:
        options = {"num_workers": max(worker_count() - 1, 0), "pin_memory": device.type == "cuda"}
        for views in DataLoader(PlainViews(index, spec), size, shuffle=True, drop_last=True, **options):
            yield [view.to(device, non_blocking=True, memory_format=torch.channels_last) for view in views]


def plain_step(backbone: str, device: torch.device) -> Callable[[list[torch.Tensor]], None]:
    network = SwAV(backbone).to(device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9)

    def step(views: list[torch.Tensor]) -> None:
        with torch.autocast(device.type, torch.bfloat16):
            loss = network(views)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def count_flops(step: Callable[[Any], object], views: list[torch.Tensor]) -> float:
    """Floating-point operations of one step of the plain loop."""
    with FlopCounterMode(display=False) as counter:
        step(views)
    return float(counter.get_total_flops())


def measure_peak() -> float:
    """Floating-point operations per second of a large bf16 matrix product, the ceiling in practice."""
    side, device = (8192, "cuda") if torch.cuda.is_available() else (1024, "cpu")
    a = torch.randn(side, side, device=device, dtype=torch.bfloat16)
    best = float("inf")
    for _ in range(10):
        synchronize()
        start = time.perf_counter()
        a @ a
        synchronize()
        best = min(best, time.perf_counter() - start)
    return 2 * side**3 / best


def synchronize() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def device_name() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"


def repeat(batch: Any, times: int) -> Iterator[Any]:
    return islice(iter(lambda: batch, None), times)
