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

from rich.console import Console
from rich.table import Table

from flows.recipes.composing import Recipe, compose
from stages.attend.methods.none.config import NoAttentionConfig
from stages.core.artifacts.models import read_model_card
from stages.core.config.params import validate_section
from stages.core.data import DATA
from stages.core.errors import UserError
from stages.index.__main__ import main as index
from stages.index.methods.imagenet_s import ImageNetSConfig
from stages.pretrain import Config as PretrainConfig
from stages.pretrain.__main__ import main as pretrain
from tests.benchmarks.objects import TRUTH, Objects, find_objects, measure_saliency_head, use_prior
from tests.benchmarks.supervised import finetune_on_masks
from tests.project.rooms import ROOT

PRETRAIN = Path("artifacts/pretrain")
ONE_VIEW, NO_QUEUE, NO_MOMENTUM = "one view", "pretrain.queue=0", "pretrain.momentum.value=0"
INITIAL = ("pretrain.training.epochs=1", "pretrain.training.optimizer.base_lr=1e-12")
"""Weights stay where they start; batch norm gets its statistics."""
ROWS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "untrained": ("rc", "none", ()),
    "initial": ("rc", "maskcontrast", INITIAL),
    "swav": ("rc", "swav", ()),
    "maskcontrast": ("rc", "maskcontrast", ()),
    "one view": ("rc", "maskcontrast", (NO_QUEUE, NO_MOMENTUM, ONE_VIEW)),
    "two views": ("rc", "maskcontrast", (NO_QUEUE, NO_MOMENTUM)),
    "two views, memory": ("rc", "maskcontrast", (NO_MOMENTUM,)),
    "on rbd": ("rbd", "maskcontrast", ()),
    "on ensemble": ("ensemble", "maskcontrast", ()),
    "on the truth (labels)": (TRUTH, "maskcontrast", ()),
    "from swav": ("rc", "maskcontrast", ("swav",)),
    "swav, twice as long": ("rc", "swav", ("twice",)),
}
"""Prior that it trains on, method, and changes; all are scored on the objects that `rc` sees and on the true ones."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), help="which rows (default: all)")
    parser.add_argument("--epochs", type=int, default=8, help="of every training (default: %(default)s)")
    parser.add_argument("--side", type=int, default=96, help="of views and photographs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of every training (default: %(default)s)")
    parser.add_argument("--backbone", default="test_resnet", help="(default: %(default)s)")
    parser.add_argument("--set", nargs="*", default=[], help="assignments pretrain.field=value for MaskContrast")
    parser.add_argument("--probe", type=int, default=0, help="epochs of a linear probe of every row (default: none)")
    parser.add_argument(
        "--shares", nargs="*", type=float, default=[], help="of masks to fine-tune on, as long as the probe"
    )
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
        data, args.ecssd = args.data.resolve(), args.ecssd and args.ecssd.resolve()
        with chdir(work):
            prepare(data)
            objects = [find_objects(prior, args.side) for prior in ("rc", TRUTH)]
            chance = {each.prior: each.chance() for each in objects}
            print("random vectors: mean, deviation; best class of every object:", chance, flush=True)
            rows = [{"row": row, **measure(args, row, objects)} for row in args.rows]
    show(rows)
    given = {"epochs": args.epochs, "side": args.side, "seed": args.seed}
    return {"benchmark": "maskcontrast", **given, "chance": chance, "rows": rows}


def prepare(data: Path) -> None:
    """Index the photographs; masks of the train split may lie in `train-segmentation-oracle`."""
    DATA.mkdir(exist_ok=True)
    for folder in data.iterdir():
        link = DATA / folder.name.removesuffix("-oracle")
        if not link.exists() and folder.is_dir():
            link.symlink_to(folder)
    shutil.copy(ROOT / "dvc.yaml", "dvc.yaml")  # `compose` reads the stages' names from it
    if not Path("artifacts/index").exists():
        index(ImageNetSConfig())


def measure(args: argparse.Namespace, row: str, objects: list[Objects]) -> dict[str, Any]:
    """The scores of a row. A model and a score are computed once; a training that was killed goes on."""
    own = args.set if ROWS[row][1] == "maskcontrast" else []
    key = hashlib.sha256(repr((row, args.epochs, args.side, args.backbone, args.seed, own)).encode()).hexdigest()[:8]
    kept = Path("models") / f"{row.split(' (')[0].replace(', ', '_').replace(' ', '_')}-{key}"
    if not kept.exists():
        train(args, row, kept)
    shutil.rmtree(PRETRAIN, ignore_errors=True)
    shutil.copytree(kept, PRETRAIN, ignore=shutil.ignore_patterns("*.scores.json"))
    NoAttentionConfig().run()
    scores: dict[str, Any] = {"photographs": read_model_card("pretrain").get("photographs", {}).get("used", 0)}
    for each in objects:
        scores |= once(kept, each.prior, each.score)
    if args.ecssd and ROWS[row][1] == "maskcontrast":
        scores |= once(kept, "saliency", lambda: measure_saliency_head(args.ecssd, args.side))
    for share in ([0.0] if args.probe else []) + args.shares:
        scores |= once(kept, f"share {share} {args.probe}", lambda s=share: finetune_on_masks(s, args.probe, args.side))
    print(row, scores, flush=True)
    return scores


def once(folder: Path, name: str, compute: Any) -> dict[str, Any]:
    """What was computed before, or is now."""
    kept = folder / f"{name}.scores.json"
    if not kept.exists():
        kept.write_text(json.dumps(compute()))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def train(args: argparse.Namespace, row: str, kept: Path) -> None:
    prior, method, changes = ROWS[row]
    use_prior(prior, 2 * args.side)
    start = time.process_time()
    pretrain(configure(args, method, changes))
    print(f"{row}: {time.process_time() - start:.0f} CPU s", flush=True)
    partial = kept.with_suffix(".partial")
    shutil.copytree(PRETRAIN, partial, dirs_exist_ok=True)
    partial.rename(kept)
    if row == "swav":
        shutil.copy(kept / "model.safetensors", "swav.safetensors")


def configure(args: argparse.Namespace, method: str, changes: tuple[str, ...]) -> Any:
    backbone = {"name": args.backbone, "output_stride": 16, "drop_path": 0.0}
    if method == "none":
        return validate_section("pretrain", {"method": "none", "backbone": backbone}, PretrainConfig, "untrained")
    twice = 2 if "twice" in changes else 1
    shared = [
        f"shared.view_size={args.side}",
        f"shared.local_size={args.side // 2}",
        f"shared.backbone={args.backbone}",
        f"shared.seed={args.seed}",
    ]
    own = args.set if method == "maskcontrast" else []
    given = [f"pretrain.training.epochs={args.epochs * twice}", *own, *(change for change in changes if "=" in change)]
    section = compose(Recipe(method, "small_photos", (*shared, *given)))["pretrain"]
    section["backbone"] = backbone
    if ONE_VIEW in changes:
        section["views"]["crops"][0]["count"] = 1
    if "swav" in changes:
        digest = hashlib.sha256(Path("swav.safetensors").read_bytes()).hexdigest()
        section["weights"] = {"path": "swav.safetensors", "sha256": digest, "origin": "self_supervised_split"}
    return validate_section("pretrain", section, PretrainConfig, method)


def show(rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(*columns, title="mIoU by k-means of object vectors: mean, deviation over five seeds")
    for row in rows:
        table.add_row(*(str(row.get(column, "")) for column in columns))
    Console(width=200).print(table)
