"""Multi-crop views from JPEG files (2 x 224 + 6 x 96), beside PIL and torchvision's transforms, per CPU second."""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from rich.console import Console
from torch.utils.data import default_collate
from torchvision import transforms

from stages.core.artifacts.image_index import ImageIndex, Photo, read_images, write_images
from stages.core.config.views import MultiCropConfig
from stages.core.image_files import measure_image
from stages.core.images.dataset import ViewDataset, augment_batch
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.benchmarks.timing import alternate

PEER, OURS, LOADER = "PIL + torchvision", "ours, all on the CPU", "ours, colors on a GPU"
TARGET = 5.0
CPU = torch.device("cpu")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--limit", type=int, default=32, help="photographs (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)


def run(args: argparse.Namespace) -> dict[str, object]:
    torch.set_num_threads(1)
    with photographs(args.data, args.limit) as index:
        spec = SwAVConfig().views
        dataset = ViewDataset(index, spec, {}, 0)
        paths = [Path("data") / index[position].path for position in range(len(index))]
        peer = torchvision_views(spec)
        candidates = {
            PEER: lambda: [peer(path) for path in paths],
            OURS: lambda: augment_batch(load(dataset), spec, CPU),
            LOADER: lambda: load(dataset),
            "decoding alone": lambda: [np.asarray(Image.open(path).convert("RGB")) for path in paths],
        }
        seconds = alternate(candidates, args.rounds)
    rates = {name: len(paths) / taken for name, taken in seconds.items()}
    ratios = {name: rates[name] / rates[PEER] for name in (OURS, LOADER)}
    for name, rate in rates.items():
        Console().print(f"{name:24} {rate:8.1f} photographs per CPU second, {rate / rates[PEER]:.1f}x")
    return {"benchmark": "views", **rates, "ratios": ratios, "holds": ratios[OURS] >= TARGET}


def load(dataset: ViewDataset) -> dict[str, object]:
    return default_collate([dataset[0, position] for position in range(len(dataset))])


@contextlib.contextmanager
def photographs(data: Path | None, limit: int) -> Iterator[ImageIndex]:
    """An index of photographs in an own folder that is the current one: from `data`, or drawn at 500 x 375."""
    there, found = Path.cwd(), sorted(data.resolve().rglob("*.jpg"))[:limit] if data else []
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("data").mkdir()
            for number in range(limit if not found else len(found)):
                path = Path("data") / f"{number:05d}.jpg"
                if found:
                    path.symlink_to(found[number])
                else:
                    draw_photograph(number).save(path, quality=90)
            write_images([describe(path) for path in sorted(Path("data").iterdir())], [], "folder")
            yield read_images()
        finally:
            os.chdir(there)


def describe(path: Path) -> Photo:
    content = path.read_bytes()
    height, width = measure_image(content, str(path))
    return Photo(path.stem, "train", path.name, height, width, len(content), path.stem)


def draw_photograph(seed: int) -> Image.Image:
    """Smooth shapes with some texture, which compresses as photographs do."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8)).resize((500, 375), Image.BICUBIC)
    return Image.fromarray(np.clip(np.asarray(coarse) + rng.normal(0, 12, (375, 500, 3)), 0, 255).astype(np.uint8))


def torchvision_views(spec: MultiCropConfig) -> object:
    """SwAV's own pipeline: one composition of transforms per group of crops, on PIL images."""
    chosen = spec.photometric
    groups = [
        (
            crop.count,
            transforms.Compose(
                [
                    transforms.RandomResizedCrop(crop.size, scale=crop.scale),
                    transforms.RandomHorizontalFlip(spec.flip),
                    transforms.RandomApply([transforms.ColorJitter(*chosen.jitter)], chosen.jitter_probability),
                    transforms.RandomGrayscale(chosen.gray_probability),
                    transforms.RandomApply([Blur(chosen.blur_sigma)], chosen.blur_probability),
                    transforms.ToTensor(),
                    transforms.Normalize(spec.mean, spec.std),
                ]
            ),
        )
        for crop in spec.crops
    ]

    def views(path: Path) -> list[torch.Tensor]:
        image = Image.open(path).convert("RGB")
        return [transform(image) for count, transform in groups for _ in range(count)]

    return views


class Blur:
    """Pillow's Gaussian blur, which SwAV uses."""

    def __init__(self, sigma: tuple[float, float]) -> None:
        self._sigma = sigma

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(radius=np.random.uniform(*self._sigma)))
