"""Object vectors of MaskContrast, its parts and its priors beside SwAV's and an untrained network's, by k-means."""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from flows.recipe import Recipe, compose
from stages.attend.methods.none import NoAttention
from stages.core.artifacts.features import read_features
from stages.core.artifacts.image_index import DATA, read_images, read_labels
from stages.core.artifacts.label_maps import SALIENT, LabelMap, open_label_maps, write_label_maps
from stages.core.artifacts.models import read_model, read_model_card
from stages.core.errors import UserError
from stages.core.images.crops import Window, cut_map, resize_short_side
from stages.core.images.decode import read_mask
from stages.core.images.inference import normalise
from stages.core.nets.objects import restore_objects
from stages.core.params import validate_section
from stages.evaluate.objects import ObjectCounts, count_object, score_kmeans, score_retrieval
from stages.extract.__main__ import main as extract
from stages.extract.methods.salient_object import SalientObjects
from stages.index.__main__ import main as index
from stages.index.methods.imagenet_s import ImageNetS
from stages.pretrain import Config as PretrainConfig
from stages.pretrain.__main__ import main as pretrain
from stages.saliency import Config as SaliencyConfig
from stages.saliency.__main__ import main as saliency
from tests.benchmarks.saliency import assess, load
from tests.project.rooms import ROOT

IGNORE = 1000
SEEDS = range(5)
SALIENCY = Path("artifacts/saliency")
ONE_VIEW, NO_QUEUE, NO_MOMENTUM = "one view", "pretrain.queue=0", "pretrain.momentum.value=0"
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "untrained": ("rc", "none", ()),
    "swav": ("rc", "swav", ()),
    "maskcontrast": ("rc", "maskcontrast", ()),
    "  one view": ("rc", "maskcontrast", (NO_QUEUE, NO_MOMENTUM, ONE_VIEW)),
    "  two views": ("rc", "maskcontrast", (NO_QUEUE, NO_MOMENTUM)),
    "  two views, memory": ("rc", "maskcontrast", (NO_MOMENTUM,)),
    "  on the truth (labels)": ("truth", "maskcontrast", ()),
    "  on rbd": ("rbd", "maskcontrast", ()),
    "  on distilled": ("distilled", "maskcontrast", ()),
    "  from swav": ("rc", "maskcontrast", ("swav",)),
    "swav, twice as long": ("rc", "swav", ("twice",)),
}
"""Prior that it trains on, method, and changes; all are scored with the objects that `rc` sees."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="*", default=list(ROWS), help="which rows (default: all)")
    parser.add_argument("--epochs", type=int, default=8, help="of every training (default: %(default)s)")
    parser.add_argument("--side", type=int, default=96, help="of views and photographs (default: %(default)s)")
    parser.add_argument("--backbone", default="test_resnet", help="(default: %(default)s)")
    parser.add_argument("--set", nargs="*", default=[], help="assignments pretrain.field=value for MaskContrast")
    parser.add_argument(
        "--ecssd", type=Path, help="folder with images/ and masks/: measure the saliency heads on it too"
    )
    parser.add_argument("--work", type=Path, help="folder that keeps what was computed (default: a temporary one)")


def run(args: argparse.Namespace) -> dict[str, object]:
    if args.data is None:
        raise UserError("maskcontrast: give it photographs in the layout of ImageNet-S: --data DIR")
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        data = args.data.resolve()
        with chdir(work):
            prepare(data)
            counts = count_objects(args.side)
            show_ceiling(counts[1])
            rows = [{"row": row.strip(), **measure(args, row, counts)} for row in args.rows]
    show(rows)
    return {"benchmark": "maskcontrast", "epochs": args.epochs, "side": args.side, "rows": rows}


def prepare(data: Path) -> None:
    """Index the photographs; masks of the train split may lie in `train-segmentation-oracle`."""
    DATA.mkdir(exist_ok=True)
    for folder in data.iterdir():
        link = DATA / folder.name.removesuffix("-oracle")
        if not link.exists() and folder.is_dir():
            link.symlink_to(folder)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")  # `compose` reads the stages' names from it
    if not Path("artifacts/index").exists():
        index(ImageNetS())


def use_prior(name: str, side: int) -> None:
    """Make a prior the stage's artifact; each is computed once."""
    kept = Path("priors") / name
    if not kept.exists():
        shutil.rmtree(SALIENCY, ignore_errors=True)
        if name == "truth":
            write_truth()
        else:
            saliency(
                validate_section("saliency", {"method": name, "threshold": 0.5, "max_side": side}, SaliencyConfig, name)
            )
        shutil.copytree(SALIENCY, kept)
    shutil.rmtree(SALIENCY, ignore_errors=True)
    shutil.copytree(kept, SALIENCY)


def write_truth() -> None:
    photos, labels = read_images(), read_labels()
    maps = []
    for photo in (photos[position] for position in range(len(photos))):
        if path := labels.mask_path(photo.image_id):
            true = read_mask(str(DATA / path))
            mask = ((true > 0) & (true != IGNORE)).astype(np.uint8) * np.uint8(255)
            maps.append(LabelMap(photo.image_id, photo.height, photo.width, mask))
    write_label_maps("saliency", "truth", maps)


def count_objects(side: int) -> tuple[list[str], ObjectCounts]:
    """What lies inside and outside of the objects that `rc` sees in the validation split."""
    use_prior("rc", 2 * side)
    photos, labels, maps = read_images().of("validation"), read_labels(), open_label_maps("saliency")
    found = []
    for photo in (photos[position] for position in range(len(photos))):
        true = np.asarray(read_mask(str(DATA / str(labels.mask_path(photo.image_id)))))
        whole = Window(0, 0, photo.width, photo.height, False)
        small = cut_map(true, (photo.height, photo.width), whole, side)
        mask = np.asarray(cut_map(maps[photo.image_id].map, (photo.height, photo.width), whole, side)) >= SALIENT
        weight = photo.height * photo.width // side**2  # as if at full size
        found.append(count_object(np.asarray(small, np.int64), mask, len(labels.classes), IGNORE) * weight)
    stacked = np.stack(found)
    return photos.image_ids, ObjectCounts(stacked[:, 0], stacked[:, 1])


def measure(args: argparse.Namespace, row: str, counts: tuple[list[str], ObjectCounts]) -> dict[str, Any]:
    name = hashlib.sha256(repr((row, args.epochs, args.side, args.backbone, args.set)).encode()).hexdigest()[:8]
    result = Path(f"{name}.json")
    if not result.exists():
        result.write_text(json.dumps(train_and_score(args, row, counts)))
    found: dict[str, Any] = json.loads(result.read_text())
    print(row, found, flush=True)
    return found


def train_and_score(args: argparse.Namespace, row: str, counts: tuple[list[str], ObjectCounts]) -> dict[str, Any]:
    prior, method, changes = ROWS[row]
    use_prior(prior, 2 * args.side)
    start = time.process_time()
    pretrain(configure(args, method, changes))
    seconds = time.process_time() - start
    if row == "swav":
        shutil.copy("artifacts/pretrain/model.safetensors", "swav.safetensors")
    NoAttention().run()
    use_prior("rc", 2 * args.side)
    scores: dict[str, Any] = {
        "cpu_seconds": round(seconds),
        "photographs": read_model_card("pretrain").get("photographs"),
    }
    if method == "maskcontrast" and args.ecssd:
        scores |= measure_saliency_head(args.ecssd.resolve(), args.side)
    for whiten in (0, 32):
        extract(SalientObjects(splits=("validation",), mask="saliency_maps", short_side=args.side, whiten=whiten))
        vectors = read_vectors(counts[0])
        classes = counts[1].inside.shape[1] - 1
        found = int((np.abs(vectors).sum(1) > 0).sum())
        for clusters in (classes, *(k for k in (50, 100) if k < found and not whiten)):
            spread = score_kmeans(vectors, counts[1], clusters, SEEDS)
            key = f"{'whitened ' * bool(whiten)}{clusters}"
            scores[key] = [round(spread.mean, 2), round(spread.deviation, 2)]
    return scores


def show_ceiling(counts: ObjectCounts) -> None:
    """What the objects of `rc` would score if each took the class that fills most of it."""
    best = counts.inside[:, 1:].argmax(1) + 1
    print(f"ceiling of these objects: mIoU {score_retrieval(best, counts):.2f}", flush=True)


def measure_saliency_head(ecssd: Path, side: int) -> dict[str, float]:
    """Max F and mean absolute error of the model's saliency head."""
    card, states = read_model("attend", ["saliency"])
    network = restore_objects(card, states).eval()

    def see(image: np.ndarray) -> np.ndarray:
        small = resize_short_side(image, side)
        with torch.inference_mode():
            salient = network(normalise(torch.from_numpy(small.transpose(2, 0, 1).copy())[None], card["input"])).salient
        return np.rint(255 * torch.sigmoid(salient[0]).numpy()).astype(np.uint8)

    found = assess("saliency head", see, load(ecssd, None), None)
    return {name: round(found[name], 4) for name in ("max_F", "MAE")}


def read_vectors(image_ids: list[str]) -> np.ndarray:
    """Unit vectors (N, D), zero for photographs without an object."""
    rows = read_features()
    vectors = np.zeros((len(image_ids), rows.embeddings.shape[1]), np.float32)
    place = {image_id: number for number, image_id in enumerate(image_ids)}
    lengths = np.linalg.norm(rows.embeddings, axis=1, keepdims=True)
    vectors[[place[image_id] for image_id in rows.image_ids]] = rows.embeddings / np.maximum(lengths, 1e-8)
    return vectors


def configure(args: argparse.Namespace, method: str, changes: tuple[str, ...]) -> Any:
    backbone = {"name": args.backbone, "output_stride": 8, "drop_path": 0.0}
    if method == "none":
        return validate_section("pretrain", {"method": "none", "backbone": backbone}, PretrainConfig, "untrained")
    twice = 2 if "twice" in changes else 1
    shared = [
        f"shared.view_size={args.side}",
        f"shared.local_size={args.side // 2}",
        f"shared.backbone={args.backbone}",
    ]
    given = [f"pretrain.training.epochs={args.epochs * twice}", *(change for change in changes if "=" in change)]
    own = args.set if method == "maskcontrast" else []
    section = compose(Recipe(method, "small_photos", (*shared, *given, *own)))["pretrain"]
    section["backbone"] = backbone
    if ONE_VIEW in changes:
        section["views"]["crops"][0]["count"] = 1
    if "swav" in changes:
        digest = hashlib.sha256(Path("swav.safetensors").read_bytes()).hexdigest()
        section["weights"] = {"path": "swav.safetensors", "sha256": digest, "origin": "self_supervised_split"}
    return validate_section("pretrain", section, PretrainConfig, method)


def show(rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title="mIoU by IoU-Hungarian k-means of object vectors: mean, deviation over five seeds")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console(width=150).print(table)
