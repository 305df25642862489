"""One set of photographs in ImageNet-S's layout and in Pascal VOC's: every protocol must score them the same.

Masks become VOC's own, with a palette and its ids, 255 where pixels are not scored. Predictions are clusters of color.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from flows.recipes.reading import RECIPES
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.config.params import validate_section
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from stages.core.png_files import read_mask
from stages.evaluate import Config
from stages.evaluate.__main__ import main as evaluate
from stages.evaluate.scoring import OUT
from stages.index import Config as IndexConfig
from stages.index.__main__ import main as index
from tests.evaluate.project import write_models_and_clusters
from tests.index.miniatures import VOC, palette
from tests.project.workspace import draw_data

PROTOCOLS = ("imagenet_s", "iou_hungarian", "pixel_hungarian", "greedy", "optimal")
SPLITS = {"train": "train", "validation": "val"}
"""The splits that both layouts have, by the name of VOC's list."""


def recipe_of_voc() -> dict[str, Any]:
    """The section `index` of the recipe."""
    section: dict[str, Any] = yaml.safe_load((RECIPES / "datasets/voc.yaml").read_text())["index"]
    return section


def convert(source: Path, target: Path) -> dict[str, list[int]]:
    """Write a folder in ImageNet-S's layout in VOC's; returns the ids of its categories there.

    A category that VOC has too keeps VOC's id, the others take the ids that are left.
    """
    known = {name: ids[0] for name, ids in recipe_of_voc()["classes"].items()}
    names = sorted(path.name for path in (source / "train").iterdir())
    spare = iter(number for name, number in known.items() if name not in names)
    ids = {name: known.get(name) or next(spare) for name in names}
    table = np.zeros(IGNORE_ID + 1, np.uint8)
    table[1 : len(names) + 1] = [ids[name] for name in names]
    table[IGNORE_ID] = 255
    for split, listed in SPLITS.items():
        photos = sorted(path for path in (source / split).rglob("*") if path.is_file())
        for photo in photos:
            mask = source / f"{split}-segmentation" / photo.parent.name / f"{photo.stem}.png"
            _put(target / VOC / "JPEGImages" / f"{listed}_{photo.name}", photo.read_bytes())
            if mask.exists():
                _put(target / VOC / "SegmentationClass" / f"{listed}_{mask.name}", palette(table[read_mask(mask)]))
        lines = "".join(f"{listed}_{photo.stem}\n" for photo in photos)
        _put(target / VOC / f"ImageSets/Segmentation/{listed}.txt", lines.encode())
    return {name: [number] for name, number in ids.items()}


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def score(section: dict[str, Any], classes: int) -> dict[str, dict[str, float]]:
    """Scores of the validation split of `data` by protocol, of as many clusters of color as classes."""
    index(validate_section("index", section, IndexConfig, "params.yaml"))
    colors = np.random.default_rng(0).integers(0, 256, (classes + 1, 3))
    photos, maps = read_images().in_splits("validation"), []
    for position, image_id in enumerate(photos.image_ids):
        pixels = photos.read(position).astype(np.int64)
        distances = np.stack([np.square(pixels - color).sum(2) for color in colors])
        maps.append(LabelMap(image_id, *pixels.shape[:2], distances.argmin(0).astype(np.uint8)))
    write_label_maps("predict", "segmenter", maps)
    write_models_and_clusters([(read_images().in_splits("train").image_ids[0], 0, 0, 0.0)], classes)
    found = {}
    for protocol in PROTOCOLS:
        evaluate(Config(protocol=protocol, overlays=0, gallery_clusters=0))
        found[protocol] = json.loads((OUT / "metrics.json").read_text())["validation"]
    return found


def compare(source: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Scores of a folder in ImageNet-S's layout, in it and in VOC's, worked out in folders of the current one."""
    home, results = Path.cwd(), {}
    for layout in ("imagenet_s", "voc"):
        Path(layout).mkdir()
        os.chdir(layout)
        try:
            if layout == "voc":
                classes = convert(source, Path("data"))
                results[layout] = score({**recipe_of_voc(), "classes": classes}, len(classes))
            else:
                shutil.copytree(source, "data")
                results[layout] = score({"method": "imagenet_s"}, len(list((source / "train").iterdir())))
        finally:
            os.chdir(home)
    return results


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compare the photographs of --data, or drawn ones."""
    home = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            source = home / args.data if args.data else Path(folder, "drawn")
            if not args.data:
                draw_data(source)
            results = compare(source)
        finally:
            os.chdir(home)
    if results["voc"] != results["imagenet_s"]:
        raise UserError(f"the layouts score differently: {json.dumps(results)}")
    return results["voc"]
