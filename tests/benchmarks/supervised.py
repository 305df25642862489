"""What people's masks add: the linear probe and the fine-tuning of a model in `artifacts/`, on a share of the masks."""

from __future__ import annotations

from typing import Any

import numpy as np

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import write_label_maps
from stages.core.artifacts.labels import read_labels
from stages.core.artifacts.models import read_model
from stages.core.config.params import validate_section
from stages.core.data import DATA
from stages.core.nets.segmenter import restore_segmenter
from stages.core.png_files import read_mask
from stages.finetune import Config as FinetuneConfig
from stages.finetune.__main__ import main as finetune
from stages.pseudolabel.methods.masks.config import TrueMaskLabelConfig
from stages.pseudolabel.methods.masks.method import label
from tests.benchmarks.objects import IGNORE

MAX_PIXELS = 10**6


def finetune_on_masks(share: float, epochs: int, side: int) -> dict[str, Any]:
    """MIoU in percent of the validation split after training on a share of the masks; 0 for the linear probe on all.

    Every share takes as many steps as all photographs do in these epochs.
    """
    name, method = ("probe", "linear") if share == 0 else (f"{share:.1%} of masks", "supervised")
    labels = label(TrueMaskLabelConfig(share=share or 1.0), read_images())
    write_label_maps("pseudolabel", "masks", labels)
    optimizer = {"kind": "adamw", "base_lr": 0.02 if share == 0 else 0.008, "final_lr": 0.0, "weight_decay": 0.01}
    section = {
        "method": method,
        "views": {"crops": [{"count": 1, "size": side, "scale": [0.3, 1.0]}], "photometric": None},
        "training": {"epochs": round(epochs / (share or 1.0)), "batch_size": 16, "optimizer": optimizer},
        "short_side": side,
    }
    finetune(validate_section("finetune", section, FinetuneConfig, name))
    return {name: round(score_segmenter(), 2)}


def score_segmenter() -> float:
    """MIoU in percent over the classes and the background, on the validation split."""
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    photos, labels = read_images().in_splits("validation"), read_labels()
    ids = len(labels.classes) + 1
    confusion = np.zeros((ids, ids), np.int64)
    for position in range(len(photos)):
        true = np.asarray(read_mask(DATA / str(labels.mask_path(photos[position].image_id))), np.int64)
        found = segmenter.segment_photograph(photos.read(position), MAX_PIXELS).label.astype(np.int64)
        counted = true != IGNORE
        confusion += np.bincount(ids * true[counted] + found[counted], minlength=ids**2).reshape(ids, ids)
    shared = confusion.diagonal()
    return float(100 * np.mean(shared / np.maximum(confusion.sum(0) + confusion.sum(1) - shared, 1)))
