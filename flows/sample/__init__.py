"""The built-in sample: 840 small drawn images in the layout of ImageNet-S, the same bytes on every machine.

Ten categories, each a shape with a surface pattern of its own. Color, size, pose, light, background and clutter are
left to chance, so that categories can be told apart by what an object looks like and by nothing simpler. Train images
have no masks, unless they are asked for. `python -m flows.sample` writes the sample to `data/`.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flows.sample.drawing import draw_scene
from flows.sample.figures import CATEGORIES
from flows.sample.png import encode_stored_png
from stages.core.errors import UserError

SPLITS = {"train": 60, "validation": 12, "test": 12}
"""Images per category."""
TRAIN_MASKS = "train-segmentation"
"""Folder of the masks of train, which are no part of the sample: a person may want them beside it."""
FINGERPRINT = "f591557ac7770af9cdafeafd3e006595ec783e6fd9b89373c13f967aff148a2f"
"""SHA-256 over the relative path and the content of every file but train's masks, in sorted order of the paths."""


def sample_files() -> Iterator[tuple[str, bytes]]:
    """Draw the sample: yield the path relative to the data folder and the content of each file."""
    for split, images in SPLITS.items():
        for category, (name, _, _) in enumerate(CATEGORIES):
            for number in range(1, images + 1):
                file = f"{name}/{name}_{number:03d}.png"
                scene = draw_scene(f"{split}/{file}", category)
                yield f"{split}/{file}", encode_stored_png(scene.image)
                if split != "train":
                    yield f"{split}-segmentation/{file}", encode_stored_png(_color_ids(scene.mask))


def _color_ids(mask: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Write ids as colors, id = R + 256 G, as ImageNet-S does."""
    return np.stack([mask % 256, mask // 256, np.zeros_like(mask)], axis=-1).astype(np.uint8)


def fingerprint(root: Path) -> str:
    """Hash a folder's files as `FINGERPRINT` does."""
    whole = hashlib.sha256()
    for file in sorted(each for each in _files(root) if not each.startswith(f"{TRAIN_MASKS}/")):
        whole.update(f"{file}\n".encode() + hashlib.sha256((root / file).read_bytes()).digest())
    return whole.hexdigest()


def write_sample(root: Path) -> None:
    """Write the sample to the folder `root`, which appears only when it is complete.

    A folder that holds an incomplete or changed sample is replaced.

    Raises:
        UserError: `root` exists and holds something else.
    """
    if root.is_symlink() or (root.exists() and not _is_sample(root)):
        raise UserError(f"{root} exists and is not the built-in sample; move it away, or set it aside with --force")
    partial = root.with_name(root.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    for path, content in sample_files():
        (partial / path).parent.mkdir(parents=True, exist_ok=True)
        (partial / path).write_bytes(content)
    if root.exists():
        shutil.rmtree(root)
    partial.rename(root)


def write_train_masks(root: Path) -> None:
    """Write the masks of train into a folder that holds the sample; they appear only when all are complete.

    For supervision that a person chooses, such as true tags of photographs; nothing else looks at them.
    """
    partial = root / f".{TRAIN_MASKS}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for category, (name, _, _) in enumerate(CATEGORIES):
        (partial / name).mkdir(parents=True)
        for number in range(1, SPLITS["train"] + 1):
            file = f"{name}/{name}_{number:03d}.png"
            (partial / file).write_bytes(encode_stored_png(_color_ids(draw_scene(f"train/{file}", category).mask)))
    shutil.rmtree(root / TRAIN_MASKS, ignore_errors=True)
    partial.rename(root / TRAIN_MASKS)


def set_aside(root: Path) -> Path | None:
    """Rename whatever lies at `root` and is not a sample to the first free name `root.before-sample[-N]`."""
    if not root.is_symlink() and (not root.exists() or _is_sample(root)):
        return None
    names = (root.with_name(f"{root.name}.before-sample{f'-{n}' if n else ''}") for n in count())
    aside = next(name for name in names if not name.exists())
    return root.rename(aside)


def _files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir()}


def _is_sample(root: Path) -> bool:
    """Tell whether a folder holds nothing but files named as the sample's."""
    folders = [*SPLITS, *(f"{split}-segmentation" for split in SPLITS)]
    own = {
        f"{folder}/{name}/{name}_{number:03d}.png"
        for folder in folders
        for name, _, _ in CATEGORIES
        for number in range(1, SPLITS[folder.removesuffix("-segmentation")] + 1)
    }
    return root.is_dir() and _files(root) <= own
