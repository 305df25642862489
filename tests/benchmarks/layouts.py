"""Every data set's layout with each method that papers run on it, from recipe to metrics.json, on small trees.

The trees are the official ones with a few photographs a split, enlarged; recipes keep methods, protocols and rules, and
sizes, lengths and networks are as small as tests have them. k-means of objects, which wants as many photographs as
there are classes, is left to its own tests. A cell is `ok`, or what went wrong.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flows.recipes.composing import Recipe, compose, render
from flows.recipes.merging import merge_values
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.config.params import load_section, validate_section
from stages.core.errors import UserError
from tests import tiny_transformers
from tests.index.miniatures import put_cityscapes, put_coco, put_coco2014, put_lip, put_voc
from tests.index.photographs import photograph, put
from tests.methods import SMALL, SMALL_OF, small_views
from tests.project.rooms import ROOT
from tests.project.workspace import draw_data

SCENES = ("vice", "picie", "transfgu", "probe")
OBJECTS = ("maskcontrast", "probe", "frozen")
SPLIT = ("luss", "swav", "pass", "maskcontrast_images", "rca", "probe", "semi_supervised", "distance_matching")
MATRIX: dict[str, tuple[str, ...]] = {
    "voc": (*OBJECTS, "transfgu", "rca", "semi_supervised", "transfer", "transfer_voc"),
    "coco_stuff27": (*SCENES, "vice_high_resolution"),
    "coco_stuff171": SCENES,
    "coco_things80": ("transfgu",),
    "coco_voc21": OBJECTS,
    "coco2014": ("rca",),
    "cityscapes27": (*SCENES, "vice_high_resolution"),
    "cityscapes19": SCENES,
    "lip19": ("transfgu",),
    "lip16": ("transfgu",),
    "lip5": ("transfgu",),
    "imagenet_s50": SPLIT,
    "tiny_imagenet": ("swav",),
}
"""By data set, the methods that a table of a paper has on it."""

SIDE = 48
GIVEN = ("probe", "semi_supervised", "transfer", "distance_matching")
"""Methods that take a model which another recipe has trained."""
TRANSFORMER = {"name": "tiny_patch8", "output_stride": None, "transformer": {"positions": "dino", "image_size": 56}}
OF_STAGE: dict[str, dict[str, Any]] = {
    "superpixels": {"region_size": 8, "short_side": None, "max_side": 64},
    "extract": {"resize": SIDE, "crop": SIDE, "short_side": SIDE, "window": 24, "sampled": 8, "whiten": 0},
    "cluster": {"restarts": 1, "iterations": 5},
    "pseudolabel": {"resize": SIDE, "short_side": SIDE, "gradient_batch": 2},
    "finetune": {"short_side": SIDE, "label_scale": 1.0, "by_doubling": False},
    "evaluate": {"overlays": 2, "working_size": None},
}
"""Sizes for a stage's method, where it has the field."""
assert tiny_transformers.NAMES


def put_imagenet_s() -> None:
    """The tests' drawing in ImageNet-S's layout, and the masks of some train photographs."""
    draw_data(Path("data"))
    for mask in Path("data/validation-segmentation").rglob("*.png"):
        photo = Path("data/train") / mask.relative_to("data/validation-segmentation")
        put(f"train-semi/{mask.parent.name}/{mask.name}", photo.read_bytes())
        put(f"train-semi-segmentation/{mask.parent.name}/{mask.name}", mask.read_bytes())


def put_tiny_imagenet() -> None:
    """Two categories of two train photographs, two of val."""
    root, categories = "tiny-imagenet-200", ("n01443537", "n01629819")
    for category in categories:
        for number in range(2):
            put(f"{root}/train/{category}/images/{category}_{number}.JPEG", photograph(4, 4))
    lines = [f"val_{number}.JPEG\t{category}\t0\t0\t3\t3\n" for number, category in enumerate(categories)]
    for number in range(2):
        put(f"{root}/val/images/val_{number}.JPEG", photograph(4, 4))
    put(f"{root}/val/val_annotations.txt", "".join(lines).encode())
    put(f"{root}/wnids.txt", "\n".join(categories).encode())


TREES: dict[str, Callable[[], Any]] = {
    "voc": put_voc,
    "coco2014": put_coco2014,
    "coco": put_coco,
    "cityscapes": put_cityscapes,
    "lip": put_lip,
    "imagenet": put_imagenet_s,
    "tiny": put_tiny_imagenet,
}
"""By the beginning of the data set's name."""


COPIES = {"voc": 10, "coco2014": 40}
"""How often photographs are repeated where true tags take the place of clusters: as many clusters as classes then."""


def repeat(folder: Path, count: int) -> None:
    """Repeat every photograph with its mask and its line in a list, under further numbers."""

    def renumber(text: str, number: int) -> str:
        return re.sub(r"\d{6,}(?!.*\d{6})", lambda digits: f"{int(digits[0]) + 1000 * number:0{len(digits[0])}}", text)

    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        if path.suffix == ".txt":
            lines = path.read_text().splitlines()
            path.write_text("\n".join(renumber(line, number) for number in range(count) for line in lines))
        else:
            for number in range(1, count):
                shutil.copy(path, path.with_stem(renumber(path.stem, number)))


def enlarge(folder: Path) -> None:
    """Make photographs and masks of a few pixels large enough for networks; photographs show a disc before noise."""
    rng = np.random.default_rng(0)
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png") or path.stat().st_size < 60:
            continue
        image = Image.open(io.BytesIO(path.read_bytes()))
        if image.width > 6:
            continue
        size = (image.width * SIDE // 2, image.height * SIDE // 2)
        large = image.resize(size, Image.Resampling.NEAREST)
        if image.mode == "RGB":
            y, x = np.mgrid[: size[1], : size[0]] - rng.integers(20, 28, 2)[:, None, None]
            disc = (x**2 + y**2 < 14**2)[..., None] * rng.integers(120, 190, 3)
            large = Image.fromarray((rng.integers(0, 60, (size[1], size[0], 3)) + disc).astype(np.uint8))
        large.save(path)


def shrink(stage: str, section: dict[str, Any], tagged: bool) -> dict[str, Any]:
    """A section with whatever can be small made so, its method and rules as the recipe has them.

    Args:
        stage: Whose section it is.
        section: As the recipe composes it.
        tagged: True classes are the tags of photographs, so that there are as many clusters as classes.
    """
    method = str(section.get("method", ""))
    sizes = {**SMALL, **OF_STAGE.get(stage, {}), **SMALL_OF.get(method, {})}
    fields = {name: value for name, value in sizes.items() if name in section and section[name] is not None}
    if isinstance(section.get("views"), dict):
        fields["views"] = (
            merge_values(section["views"], fields["views"]) if "views" in fields else small_views(section["views"])
        )
    if isinstance(section.get("size"), list):
        fields["size"] = [SIDE, SIDE]
    if stage == "cluster":
        fields |= (
            {"k": section["k"] if tagged else 2} if section["k"] else {"groups": dict.fromkeys(section["groups"], 1)}
        )
    if stage == "evaluate":
        fields["objects"] = None
    if "backbone" in fields and "vit_" in section["backbone"]["name"]:
        fields["backbone"] = TRANSFORMER
    if (section.get("decoder") or {}).get("kind") == "deeplabv3plus":
        own = {
            "channels": 8,
            "low_level": 4,
            "rates": [1, 2, 3],
            "embedding": 8 * bool(section["decoder"]["embedding"]),
        }
        fields["decoder"] = {**section["decoder"], **own}
    if "training" in fields:
        fields["training"] = {**section["training"], "epochs": 1, "batch_size": 2, "norm_group": 0}
    kept = {name: value for name, value in section.items() if name not in ("backbone", "decoder") or name not in fields}
    config = importlib.import_module(f"stages.{stage}").Config
    written: dict[str, Any] = validate_section(stage, merge_values(kept, fields), config, stage).model_dump(mode="json")
    return written


def sections_of(method: str, dataset: str) -> dict[str, dict[str, Any]]:
    """The recipe's sections, small; methods that take a model take the one in `elsewhere`."""
    given = ["pretrain.weights={path: elsewhere/model.safetensors, origin: self_supervised_split}"]
    three = ["shared.classes=3"] if dataset.startswith("imagenet") else []
    found = compose(Recipe(method, dataset, (*three, *(given if method in GIVEN else ()))))
    tagged = found["pseudolabel"].get("supervision") == "labels" and found["pseudolabel"]["method"] != "masks"
    return {stage: section if stage == "index" else shrink(stage, section, tagged) for stage, section in found.items()}


def run_recipe(method: str, dataset: str) -> dict[str, Any]:
    """Run every stage; returns metrics.json."""
    sections = sections_of(method, dataset)
    Path("params.yaml").write_text(render(sections, Recipe(method, dataset)))
    for stage in sections:
        module = importlib.import_module(f"stages.{stage}.__main__")
        module.main(load_section(stage, importlib.import_module(f"stages.{stage}").Config))
    metrics: dict[str, Any] = json.loads((ARTIFACTS / "evaluate/metrics.json").read_text())
    return metrics


def cells(dataset: str, methods: Iterable[str] = ()) -> Iterator[tuple[str, dict[str, Any]]]:
    """Methods (all of the matrix) on a data set's tree in the current folder: what came out, protocol, seconds."""
    shutil.copy(ROOT / "dvc.yaml", ".")
    next(put_tree for name, put_tree in TREES.items() if dataset.startswith(name))()
    repeat(Path("data"), COPIES.get(dataset, 1))
    enlarge(Path("data"))
    for method in methods or MATRIX[dataset]:
        start = time.perf_counter()
        try:
            if method in GIVEN and not Path("elsewhere").exists():
                run_recipe("swav" if dataset.startswith("imagenet") else "maskcontrast_images", dataset)
                shutil.copytree(ARTIFACTS / "pretrain", "elsewhere")
            found = {"outcome": "ok", "protocol": run_recipe(method, dataset)["protocol"].get("title", "no masks")}
        except (UserError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError) as error:
            found = {"outcome": f"{type(error).__name__}: {error}"}
        yield method, {**found, "seconds": round(time.perf_counter() - start, 1)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", default="", help="data sets with commas between (default: all)")


def run(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Run the matrix; one line per cell as it is done."""
    os.environ.setdefault("LUSS_WORKERS", "1")
    results: dict[str, dict[str, Any]] = {}
    home = Path.cwd()
    for dataset in args.only.split(",") if args.only else MATRIX:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            try:
                for method, cell in cells(dataset):
                    print(f"{dataset} {method}: {cell}", flush=True)
                    results.setdefault(dataset, {})[method] = cell
            finally:
                os.chdir(home)
    return results
