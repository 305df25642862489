"""ViCE's regions, masking and networks on scenes, PiCIE and IIC, beside color and place and an untrained network."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import chdir
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from rich.console import Console
from rich.table import Table

from flows.recipes.composing import Recipe, compose
from flows.workspace.dvc_process import signals_interrupt
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.models import read_model
from stages.core.config.params import validate_section
from stages.core.engine.devices import seed_everything
from stages.core.errors import UserError
from stages.core.images.dataset import EpochBatches, ViewDataset, augment_batch, load_batches
from stages.core.nets.features import restore_features
from stages.index.__main__ import main as index
from stages.index.methods.scenes import ScenesConfig
from stages.pretrain.methods.vice.config import VICEConfig
from stages.superpixels import Config as SuperpixelsConfig
from stages.superpixels.__main__ import main as superpixels
from tests.benchmarks.pixels import Describe, Look, measure, see_color_and_place
from tests.benchmarks.step import Training
from tests.project.rooms import ROOT

STEPS = 8
NO_MASKING = "pretrain.masking=null"
DEEPLAB = (
    "pretrain.decoder={kind: deeplabv3plus, form: vice, channels: 64, low_level: 16, rates: [12, 24, 36], "
    "embedding: 64}"
)
FULL_SIZE = ("pretrain.views.side=[288, 288]", "pretrain.views.size=128", "shared.resize=216")


class Row(NamedTuple):
    """What a row of the table changes."""

    values: tuple[str, ...] = ()
    cell: int | None = None
    """Side of the cells of a grid in the photographs' pixels; None for superpixels."""
    trained: bool = True
    recipe: str = "vice"


ROWS = {
    "color and place": Row(trained=False),
    "untrained": Row(trained=False),
    "pixels": Row((NO_MASKING,), cell=2),
    "pixels, masking": Row(cell=2),
    "grid": Row(cell=10),
    "superpixels": Row(),
    "superpixels, no masking": Row((NO_MASKING,)),
    "FPN, full size": Row((*FULL_SIZE, "pretrain.decoder.last_norm=false")),
    "DeepLabV3+, full size": Row((*FULL_SIZE, DEEPLAB)),
    "picie": Row(recipe="picie"),
    "iic": Row(recipe="iic"),
}
"""Views are cut at half the photographs' size, where a cell of 2 is a pixel; those of full size train without the last
norm, which DeepLabV3+ does not have."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="*", default=list(ROWS), help="which rows (default: all)")
    parser.add_argument("--epochs", type=int, default=20, help="of every training (default: %(default)s)")
    parser.add_argument("--clusters", nargs="*", type=int, default=[27], help="numbers K (default: %(default)s)")
    parser.add_argument("--set", nargs="*", default=[], help="assignments section.field=value for every row")
    parser.add_argument("--split", default="test", help="that is scored (default: %(default)s)")
    parser.add_argument(
        "--apart",
        type=int,
        default=0,
        metavar="N",
        help="score train too: photographs whose names begin with the same N letters, such as the frames of a drive, "
        "by the match of all others",
    )
    parser.add_argument("--sizes", nargs="*", type=int, default=[], help="of views whose speed is measured")
    parser.add_argument("--work", type=Path, help="folder that keeps what was computed (default: a temporary one)")


def run(args: argparse.Namespace) -> dict[str, object]:
    if args.data is None:
        raise UserError("vice: give it scenes: --data DIR with images/ and annotations/")
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        data = args.data.resolve()
        with chdir(work):
            prepare(data)
            rows = {row: recall(args, row) for row in args.rows}
            speeds = {str(size): measure_speed(args, size) for size in args.sizes}
    show(rows)
    return {"benchmark": "vice", "epochs": args.epochs, "rows": rows, "photographs_per_cpu_second": speeds}


def prepare(data: Path) -> None:
    if not Path("data").exists():
        Path("data").symlink_to(data)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")  # `compose` reads the stages' names from it
    if not Path("artifacts/index").exists():
        index(ScenesConfig())


def recall(args: argparse.Namespace, row: str) -> dict[str, Any]:
    key = repr((row, ROWS[row], args.epochs, args.clusters, args.set, args.split, args.apart))
    result = Path(f"{hashlib.sha256(key.encode()).hexdigest()[:8]}.json")
    if not result.exists():
        result.write_text(json.dumps(train_and_score(args, row)))
    found: dict[str, Any] = json.loads(result.read_text())
    print(row, found, flush=True)
    return found


def train_and_score(args: argparse.Namespace, row: str) -> dict[str, Any]:
    images, labels = read_images(), read_labels()
    train, scored = images.in_splits("train"), images.in_splits(args.split)
    groups = group_by_name(train.image_ids, args.apart) if args.apart else ()
    describe, cost = prepare_description(args, row)
    scores = measure(train, scored, labels, describe, args.clusters, groups)
    return cost | {name: [round(value, 2) for value in score] for name, score in scores.items()}


def group_by_name(image_ids: list[str], letters: int) -> list[str]:
    """The first letters of each photograph's name; of these there must be several."""
    groups = [Path(image_id).name[:letters] for image_id in image_ids]
    if len(set(groups)) == 1:
        raise UserError(f"--apart {letters}: all names of train begin with {groups[0]!r}; take more letters")
    return groups


def prepare_description(args: argparse.Namespace, row: str) -> tuple[Describe, dict[str, Any]]:
    if row == "color and place":
        return see_color_and_place, {}
    given = configure(args, *ROWS[row].values, recipe=ROWS[row].recipe)
    side = given["extract"]["short_side"]
    if not ROWS[row].trained:
        config = VICEConfig.model_validate(given["pretrain"])
        seed_everything(config.training.seed)
        return Look(config.build().features, config.views.input_card, side), {}
    use_regions(given["superpixels"], ROWS[row].cell)
    cost = train(given["pretrain"], args.epochs)
    card, states = read_model("pretrain", ["backbone"])
    return Look(restore_features(card, states), card.input, side), cost


def configure(args: argparse.Namespace, *values: str, recipe: str = "vice") -> dict[str, dict[str, Any]]:
    return compose(Recipe(recipe, "camvid", (f"pretrain.training.epochs={args.epochs}", *args.set, *values)))


def measure_speed(args: argparse.Namespace, size: int) -> dict[str, float]:
    """Photographs a CPU second, of loading and of training with views of this size; the first step is not counted."""
    given = configure(args, f"pretrain.views.size={size}")
    use_regions(given["superpixels"], None)
    config, photographs = VICEConfig.model_validate(given["pretrain"]), read_images().in_splits("train")
    training, batch_size = Training(config), config.training.batch_size
    dataset = ViewDataset(photographs, config.views, {"superpixels": open_label_maps("superpixels")}, 0)
    batches = EpochBatches(len(photographs), batch_size, 0, range(STEPS + 1))
    loading, stepping = [], []
    clock = time.process_time()
    for raw in load_batches(dataset, batches, training.fabric.device):
        batch = augment_batch(raw, config.views, training.fabric.device)
        loaded = time.process_time()
        training.step(batch)
        loading.append(loaded - clock)
        stepping.append((clock := time.process_time()) - loaded)
    counted = STEPS * batch_size
    return {
        "loading": round(counted / sum(loading[1:]), 1),
        "training": round(counted / (sum(loading[1:]) + sum(stepping[1:])), 1),
    }


def use_regions(section: dict[str, Any], cell: int | None) -> None:
    """Make regions the stage's artifact; each kind is computed once."""
    if cell:
        section = {"method": "grid", "region_size": cell, "max_side": section["max_side"]}
    kept = Path(f"regions-{hashlib.sha256(repr(section).encode()).hexdigest()[:8]}")
    shutil.rmtree("artifacts/superpixels", ignore_errors=True)
    if not kept.exists():
        superpixels(validate_section("superpixels", section, SuperpixelsConfig, "vice"))
        shutil.copytree("artifacts/superpixels", kept)
        return
    shutil.copytree(kept, "artifacts/superpixels")


def train(section: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Pretrain in a process of its own: CPU seconds of an epoch, and the most memory in MiB."""
    Path("params.yaml").write_text(yaml.safe_dump({"pretrain": section}))
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LUSS_WORKERS": "1", "LUSS_CHECKPOINTS": ".checkpoints"}
    with signals_interrupt():
        process = subprocess.Popen([sys.executable, "-m", "stages.pretrain"], env=environment)
        try:
            _, status, used = os.wait4(process.pid, 0)
        except KeyboardInterrupt:
            process.terminate()
            raise
    if status:
        raise UserError("vice: the training failed")
    seconds = (used.ru_utime + used.ru_stime) / epochs
    return {"seconds_per_epoch": round(seconds, 1), "peak_mib": used.ru_maxrss // 1024}


def show(rows: dict[str, dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    table = Table("row", *columns, title="mIoU, pixel accuracy")
    for name, row in rows.items():
        table.add_row(name, *(str(row.get(column, "")) for column in columns))
    Console(width=150).print(table)
