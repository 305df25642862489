"""Distance matching in the stage: the bank comes from the masks of train, ids are classes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.config.networks import BackboneConfig
from stages.core.config.views import InputCard
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.png_files import read_mask
from stages.evaluate import Config, DistanceMatchingConfig
from stages.evaluate.__main__ import main
from stages.evaluate.scoring import OUT
from tests.evaluate import oracle
from tests.evaluate.project import SIDE, write_project
from tests.fabricate import backbone_card

BACKBONE = BackboneConfig(name="test_resnet", output_stride=16)
RULES = DistanceMatchingConfig(short_side=SIDE, enlarge=2, neighbors=3)


@pytest.fixture
def backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> nn.Module:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    torch.manual_seed(0)
    return build_backbone(BACKBONE).eval()


def write_pretrained(backbone: nn.Module) -> None:
    expects = InputCard(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), size=SIDE)
    write_model(
        "pretrain",
        {"backbone": backbone},
        backbone_card().model_copy(update={"input": expects, "parts": describe_parts({"backbone": backbone})}),
        [],
    )


@torch.no_grad()
def test_it_scores_what_pixels_vote_for_one_by_one(backbone: nn.Module) -> None:
    truth = write_project(masks_of_train=True)
    write_pretrained(backbone)
    main(Config(overlays=0, neighbors=RULES))
    metrics = json.loads((OUT / "metrics.json").read_text())

    features = {}
    index = read_images()
    for position, image_id in enumerate(index.image_ids):
        photo = torch.from_numpy(index.read(position).copy()).permute(2, 0, 1)[None] / 255
        enlarged = F.interpolate(backbone((photo - 0.5) / 0.25), scale_factor=2, mode="bilinear")[0]
        features[image_id] = F.normalize(enlarged, dim=0), enlarged  # (D, 6, 6)
    bank = []
    for image_id in index.in_splits("train").image_ids:
        mask = read_mask(Path("data") / f"{image_id.replace('train', 'train-segmentation', 1)}.png")[::8, ::8]
        for value in set(np.unique(mask).tolist()) - {1000}:
            total = features[image_id][1][:, torch.from_numpy(mask == value)].sum(1)
            bank.append((value, F.normalize(total, dim=0)))
    images = []
    for image_id in (one for one in truth if one.startswith("validation")):
        small = np.zeros((6, 6), np.uint16)
        for i, j in np.ndindex(6, 6):
            cosines = [(float(features[image_id][0][:, i, j] @ vector), value) for value, vector in bank]
            votes = [0.0] * 4
            for cosine, value in sorted(cosines, reverse=True)[:3]:
                votes[value] += np.exp(cosine / 0.07)
            small[i, j] = int(np.argmax(votes))
        images.append((truth[image_id][0], np.kron(small, np.ones((8, 8), np.uint16)), None))
    counts, _, f, _ = oracle.count_set(images, {value: value for value in range(4)}, 3, None)
    assert metrics["validation"]["neighbors_mIoU"] == pytest.approx(oracle.mean_iou(counts), abs=1e-4)
    assert metrics["validation"]["neighbors_F"] == pytest.approx(100 * f, abs=1e-4)
    assert metrics["protocol"]["strict"] is False


def test_without_masks_of_train_it_says_where_they_belong(backbone: nn.Module) -> None:
    write_project()
    write_pretrained(backbone)
    with pytest.raises(UserError, match=r"no photograph of the train split has a mask; set it to null"):
        main(Config(overlays=0, neighbors=RULES))
