"""Embeddings of photographs by given networks, beside timm alone in a plain loop: speed and peak memory.

Each candidate has a process of its own, so that its peak memory is its own; they take turns.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.model_card import ModelCard, StartCard
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.config.views import InputCard
from stages.core.nets.backbones import build_backbone, embedding_size, map_stride
from stages.extract.methods.image.config import ImageEmbeddingConfig
from tests.benchmarks.views import photographs

SIDE = 224
NETWORKS = ("resnet18", "resnet50", "vit_small_patch14_dinov2", "vit_small_patch16_224")
OURS, PEER = "extract", "timm alone"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WANTED = 0.95
"""Of the peer's speed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help="timm's names")
    parser.add_argument("--limit", type=int, default=64, help="photographs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="timed passes of each candidate (default: %(default)s)")
    parser.add_argument("--candidate", help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> dict[str, object]:
    if args.candidate:
        return measure(args)
    result: dict[str, object] = {"benchmark": "extract", "threads": torch.get_num_threads()}
    table = Table("network", "images/s", "timm alone", "ratio", "peak MiB", "timm alone", "cosine")
    holds = True
    for network in args.networks:
        rows = {name: in_own_process(name, network, args) for name in (OURS, PEER)}
        ratio = rows[OURS]["images_per_second"] / rows[PEER]["images_per_second"]
        cosine = float(
            np.mean([np.dot(a, b) for a, b in zip(*(rows[name].pop("vectors") for name in rows), strict=True)])
        )
        holds &= ratio >= WANTED
        result[network] = rows | {"ratio": ratio, "cosine": cosine}
        speeds = [f"{rows[name]['images_per_second']:.2f}" for name in rows]
        peaks = [f"{rows[name]['peak_mib']:.0f}" for name in rows]
        table.add_row(network, *speeds, f"{ratio:.2f}", *peaks, f"{cosine:.6f}")
    Console(width=120).print(table)
    return result | {"holds": holds}


def in_own_process(candidate: str, network: str, args: argparse.Namespace) -> dict[str, object]:
    command = [sys.executable, "-m", "tests.benchmarks", "extract", "--candidate", candidate, "--networks", network]
    command += ["--limit", str(args.limit), "--rounds", str(args.rounds)]
    command += ["--data", str(args.data.absolute())] if args.data else []
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    row: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return row


def measure(args: argparse.Namespace) -> dict[str, object]:
    """Speed (the fastest of the rounds), peak memory in MiB and unit vectors of one candidate."""
    torch.manual_seed(0)
    (name,) = args.networks
    transformer = TransformerConfig(image_size=SIDE) if name.startswith("vit") else None
    backbone = build_backbone(BackboneConfig(name=name, transformer=transformer)).eval()
    candidate = {OURS: ours, PEER: plain}[args.candidate](backbone)
    with photographs(args.data, args.limit) as index:
        seconds = []
        for _ in range(args.rounds + 1):
            start = time.perf_counter()
            vectors = candidate(index)
            seconds.append(time.perf_counter() - start)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    speed = len(index) / min(seconds[1:])
    return {
        "images_per_second": speed,
        "deviation": statistics.pstdev(seconds[1:]) / statistics.mean(seconds[1:]),
        "peak_mib": peak,
        "vectors": vectors[:8].tolist(),
    }


def ours(backbone: torch.nn.Module) -> Callable[[ImageIndex], np.ndarray]:
    """The stage's own code, from the index to the vectors."""
    card = ModelCard(
        method="none",
        parts=describe_parts({"backbone": backbone}),
        feature_map="stage4",
        output_stride=map_stride(backbone),
        embedding_size=embedding_size(backbone),
        input=InputCard(size=SIDE, mean=MEAN, std=STD),
        start=StartCard(),
        labels_used=False,
        params={},
    )
    config = ImageEmbeddingConfig(resize=SIDE, crop=SIDE)

    def embed(index: ImageIndex) -> np.ndarray:
        if not Path("artifacts/attend").exists():
            write_model("attend", {"backbone": backbone}, card, [])
        config.write_vectors(index)
        return read_features().embeddings

    return embed


def plain(backbone: torch.nn.Module) -> Callable[[ImageIndex], np.ndarray]:
    """What one would write with Pillow and timm: batches of 64 in one process, fp32, the mean of the last map."""
    mean, std = (torch.tensor(each)[:, None, None] for each in (MEAN, STD))

    def embed(index: ImageIndex) -> np.ndarray:
        rows = []
        with torch.inference_mode():
            for start in range(0, len(index), 64):
                views = [
                    centered(Path("data") / index[place].path) for place in range(start, min(start + 64, len(index)))
                ]
                images = (torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255 - mean) / std
                features = backbone.forward_features(images)
                if features.ndim == 3:
                    rows.append(features[:, backbone.num_prefix_tokens :].mean(1))
                else:
                    rows.append(features.mean((2, 3)))
        return torch.cat(rows).numpy()

    return embed


def centered(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        photo = image.convert("RGB")
    scale = SIDE / min(photo.size)
    width, height = (round(side * scale) for side in photo.size)
    left, top = (width - SIDE) // 2, (height - SIDE) // 2
    resized = photo.resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized.crop((left, top, left + SIDE, top + SIDE)))
