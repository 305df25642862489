"""A recipe at its full sizes: every stage once on a few photographs, and what the whole would cost on GPUs."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from flows.recipes.composing import Recipe, compose
from stages.core.artifacts.clusters import Assignments, Centroids, write_clusters
from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import read_images, write_images
from stages.core.config.params import Params, validate_section

TRAIN = {"imagenet_s50": 64_431, "imagenet_s300": 384_862, "imagenet_s919": 1_183_322}
"""Photographs of the train split. Source: LUSS, table 1."""
TRAINED = ("pretrain", "attend", "finetune")
FEW, SIDE = 4, 288
FEW_GROUPS = {"clusters": 2, "components": 2, "warmup_epochs": 0}
"""What few photographs allow, of methods that cluster them before an epoch."""
A100 = 312e12
"""Operations a second of an A100 in bf16, dense. Source: NVIDIA's data sheet."""
COPIES = 3
"""Of every weight beside itself: gradient, momentum, checkpoint's snapshot."""


class Cost(NamedTuple):
    """Of one photograph in one epoch of a stage that trains."""

    operations: float
    """Twice the multiply-adds of forward and backward pass."""
    saved: float
    """Bytes that the forward pass keeps for the backward pass."""
    weights: float
    """Bytes, of the model that the stage writes."""

    def memory(self, photographs: int) -> float:
        """Bytes of a GPU that computes so many photographs at once."""
        return photographs * self.saved + (1 + COPIES) * self.weights


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--recipes", default="swav,luss,pass", help="methods (default: %(default)s)")
    parser.add_argument("--datasets", default=",".join(TRAIN), help="data sets (default: %(default)s)")
    parser.add_argument("--per-gpu", type=int, default=32, help="photographs per GPU and step (default: %(default)s)")
    parser.add_argument("--micro-batch", type=int, default=8, help="photographs of a pass, where a step can be divided")
    parser.add_argument("--use", type=float, default=0.2, help="share of the GPU's peak that is reached (%(default)s)")


def run(args: argparse.Namespace) -> dict[str, object]:
    divided = f"GB by micro_batch {args.micro_batch}"
    table = Table("recipe", "data set", "stage", "GFLOP / photograph", "GB / GPU", divided, "GPU-hours")
    hours: dict[str, float] = {}
    for dataset in args.datasets.split(","):
        for method in args.recipes.split(","):
            sections = compose(Recipe(method, dataset))
            with _scratch():
                costs = run_every_stage(sections)
            for stage, cost in costs.items():
                training = sections[stage]["training"]
                spent = TRAIN[dataset] * training["epochs"] * cost.operations / (A100 * args.use) / 3600
                whole, part = (f"{cost.memory(count) / 1e9:.1f}" for count in (args.per_gpu, args.micro_batch))
                shown = f"{cost.operations / 1e9:.1f}", whole, part if "micro_batch" in training else "", f"{spent:.0f}"
                table.add_row(method, dataset, stage, *shown)
                hours[f"{method} {dataset} {stage}"] = round(spent, 1)
    Console().print(table)
    return {"benchmark": "full_scale", "use": args.use, "gpu_hours": hours, "holds": True}


def run_every_stage(sections: dict[str, Any]) -> dict[str, Cost]:
    """Run all stages of a recipe in the current folder, training ones for a single step; returns what that cost."""
    draw_data(sections["cluster"]["k"])
    costs = {}
    for stage, values in sections.items():
        config, main = _load(stage, _shortened(values)), importlib.import_module(f"stages.{stage}.__main__").main
        if stage in TRAINED and "training" in values:
            costs[stage] = _measure(stage, lambda config=config, main=main: main(config))
        elif stage == "cluster":
            scatter_clusters(values["k"])
        else:
            main(config)
        if stage == "index":
            keep_few()
    return costs


def draw_data(classes: int) -> None:
    """Noise in as many categories as the recipe wants, most photographs small, and masks of those that are not."""
    rng = np.random.default_rng(0)
    for split, count in (("train", classes), ("validation", FEW), ("test", FEW)):
        for number in range(count):
            place, side = f"n{number:08d}/{number}", SIDE if number < FEW else 32
            _save(rng.integers(0, 256, (side, side + 32, 3), dtype=np.uint8), f"data/{split}/{place}.jpg")
            if number < FEW:
                mask = np.zeros((side, side + 32, 3), np.uint8)
                mask[64:200, 64:200, 0] = number + 1
                _save(mask, f"data/{split}-segmentation/{place}.png")


def keep_few() -> None:
    """Take the small photographs, which only stood for their categories, out of the index."""
    index = read_images()
    photos = [index[position] for position in range(len(index))]
    write_images([photo for photo in photos if photo.height == SIDE], [], "imagenet_s")


def scatter_clusters(count: int) -> None:
    """As many clusters as the recipe asks for, which so few photographs cannot form: random directions."""
    features = read_features()
    size = features.embeddings.shape[1]
    centroids = np.random.default_rng(0).normal(size=(count, size)).astype(np.float32)
    ids = np.arange(len(features.image_ids), dtype=np.int32) % count
    write_clusters(
        Centroids(centroids, np.bincount(ids, minlength=count), True, features.space),
        Assignments(features.image_ids, features.region_ids, ids, np.zeros(len(ids), np.float32)),
        "kmeans",
    )


def _shortened(values: dict[str, Any]) -> dict[str, Any]:
    """One step of all photographs, surveyed before where a method does that; a threshold is not looked for, which would
    cost the same however many there are."""
    if "training" not in values:
        return values
    found: dict[str, Any] = {"threshold": {**values["threshold"], "rule": "fixed"}} if "threshold" in values else {}
    for name, value in FEW_GROUPS.items():
        if name in values:
            found[name] = [value] if isinstance(values[name], list) else value
    return {**values, **found, "training": {**values["training"], "epochs": 1, "batch_size": FEW}}


def _load(stage: str, values: dict[str, Any]) -> Params:
    config: Params = validate_section(stage, values, importlib.import_module(f"stages.{stage}").Config, "the recipe")
    return config


def _measure(stage: str, train: Callable[[], object]) -> Cost:
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        saved[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    counter = FlopCounterMode(display=False)
    with counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        train()
    weights = Path(f"artifacts/{stage}/model.safetensors").stat().st_size
    return Cost(counter.get_total_flops() / FEW, sum(saved.values()) / FEW, weights)


def _save(pixels: np.ndarray, path: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@contextlib.contextmanager
def _scratch() -> Iterator[None]:
    """An empty folder to work in."""
    before, folder = Path.cwd(), tempfile.mkdtemp()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        shutil.rmtree(folder)
