"""Peak memory of pretraining by epoch: SwAV on photographs, in a process of its own; it must not grow."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import psutil
import yaml
from rich.console import Console

from stages.core.config.networks import BackboneConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.core.errors import UserError
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.benchmarks.views import photographs

ROOT = Path(__file__).parents[2]
WARM_UP = 2
"""Epochs at the start in which allocators settle."""
TOLERATED = 0.01
"""Growth per epoch as a share of the memory in use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=64, help="photographs in an epoch (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--backbone", default="resnet18")


def run(args: argparse.Namespace) -> dict[str, object]:
    with photographs(args.data, args.limit):
        write_params(args)
        peaks = watch(args.epochs)
    settled = np.array(peaks[WARM_UP:])
    slope = float(np.polyfit(np.arange(len(settled)), settled, 1)[0])
    noise = float(settled.std())
    Console().print(f"peak by epoch, MiB: {', '.join(f'{peak:.0f}' for peak in peaks)}; {slope:+.2f} MiB per epoch")
    holds = slope <= max(TOLERATED * settled.mean(), noise)
    return {"benchmark": "memory", "peak_mib": max(peaks), "by_epoch": peaks, "slope": slope, "holds": bool(holds)}


def write_params(args: argparse.Namespace) -> None:
    config = SwAVConfig(
        backbone=BackboneConfig(name=args.backbone),
        views=MultiCropConfig(
            crops=(CropConfig(count=2, size=96, scale=(0.14, 1.0)), CropConfig(count=2, size=48, scale=(0.05, 0.14)))
        ),
        prototypes=100,
        queue=32,
        queue_start_epoch=0,
    ).model_dump(mode="json")
    config["training"] |= {"epochs": args.epochs, "batch_size": 16}
    Path("params.yaml").write_text(yaml.safe_dump({"pretrain": config}))


def watch(epochs: int) -> list[float]:
    """Largest resident memory in MiB, of the stage and its loaders together, in every epoch."""
    environment = {"PYTHONPATH": str(ROOT), "LUSS_CHECKPOINT_SECONDS": "5", "LUSS_CHECKPOINTS": ".checkpoints"}
    command = [sys.executable, "-m", "stages.pretrain"]
    process = subprocess.Popen(command, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    peaks, epoch = [0.0] * epochs, [0]
    thread = threading.Thread(target=measure, args=(process.pid, peaks, epoch))
    thread.start()
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if " epoch " in line:
            epoch[0] = int(line.partition(" epoch ")[2].partition("/")[0]) - 1
    process.wait()
    thread.join()
    if process.returncode:
        raise UserError(f"the run failed: {lines[-1]}")
    return [peak for peak in peaks if peak]


def measure(pid: int, peaks: list[float], epoch: list[int]) -> None:
    try:
        process = psutil.Process(pid)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            used = sum(each.memory_info().rss for each in [process, *process.children(recursive=True)])
            peaks[epoch[0]] = max(peaks[epoch[0]], used / 2**20)
            threading.Event().wait(0.1)
    except psutil.NoSuchProcess:
        return
