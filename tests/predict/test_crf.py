"""Segmentation by a dense CRF: what it does to labels and scores, and that the stage writes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import read_model
from stages.core.config.crf import CRFConfig
from stages.core.images.inference import normalize
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.predict import Config
from stages.predict.__main__ import main
from stages.predict.crf import center_threshold, segment_by_crf, uncenter_threshold
from tests.fabricate import fabricate_images, fabricate_segmenter


def draw_photograph(segmenter: Segmenter) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 32, 40)).astype(np.uint8)
    return normalize(torch.from_numpy(pixels), segmenter.expects)


def test_shares_are_the_softmax_of_the_enlarged_logits_of_the_most_likely_labels() -> None:
    fabricate_images(3)
    fabricate_segmenter(clusters=5)
    segmenter = restore_segmenter(*read_model("finetune"))
    images = draw_photograph(segmenter)
    found = segmenter.probabilities(images, (20, 30), 3)
    with torch.no_grad():
        logits = segmenter(images)
    kept = sorted(logits.softmax(1).mean((0, 2, 3)).argsort(descending=True)[:3].tolist())
    assert found.labels == [number + 1 for number in kept]
    torch.testing.assert_close(found.shares, F.interpolate(logits[:, kept], (20, 30), mode="bilinear")[0].softmax(0))
    every = segmenter.probabilities(images, (20, 30), 9)
    assert every.labels == [1, 2, 3, 4, 5]
    torch.testing.assert_close(every.shares.sum(0), torch.ones(20, 30))
    torch.testing.assert_close(every.foreground, every.shares.amax(0))


CARDS: dict[str, dict[str, Any]] = {
    "softmax": {"score": "softmax", "background": "threshold", "threshold": 0.35},
    "foreground": {"score": "foreground", "background": "threshold", "threshold": 0.7},
    "normalized_logit": {"score": "normalized_logit", "background": "threshold", "threshold": 0.41},
    "class_0": {"score": "softmax", "background": "class_0", "threshold": None},
    "everything": {"score": "softmax", "background": "threshold", "threshold": 0.0},
}


@pytest.mark.parametrize("kind", CARDS)
def test_a_field_that_joins_no_pixels_leaves_labels_and_background_as_they_are(kind: str) -> None:
    """Whatever tells the background: the same categories, and the same pixels below the segmenter's threshold."""
    fabricate_images(3)
    fabricate_segmenter(clusters=4 if kind in ("foreground", "class_0") else 3)
    segmenter = restore_segmenter(*read_model("finetune"))
    segmenter.card = segmenter.card.model_copy(update={**CARDS[kind], "clusters": 3})
    photograph = np.random.default_rng(0).integers(0, 255, (32, 40, 3)).astype(np.uint8)
    images = normalize(torch.from_numpy(photograph.transpose(2, 0, 1).copy())[None], segmenter.expects)
    with torch.no_grad():
        segmenter.head.conv.weight.mul_(8)
        if kind == "class_0":  # Half of the pixels are the first class's.
            logits = segmenter.head(segmenter.features(images))
            segmenter.head.conv.bias[0] += (logits[:, 1:].amax(1) - logits[:, 0]).mean()
    plain = segmenter.segment(images, (32, 40), 10**6)
    if segmenter.card.threshold:  # Half of the scores lie below it.
        middle = float(np.median(plain.score)) / 100
        segmenter.card = segmenter.card.model_copy(update={"threshold": middle})
    alone = CRFConfig(iterations=1, near_weight=0.0, alike_weight=0.0)
    found = segment_by_crf(segmenter, images, photograph, alone)
    level = round(100 * (segmenter.card.threshold or 0))
    np.testing.assert_array_equal(found.score >= level, plain.score >= level)
    np.testing.assert_array_equal(found.label, plain.label)
    assert set(np.unique(found.label)) <= ({0, 1, 2, 3} if kind == "class_0" else {1, 2, 3})
    if kind != "everything":
        background = found.label == 0 if kind == "class_0" else found.score < level
        assert 0 < background.mean() < 1, "both are there to be told apart"


@pytest.mark.parametrize("threshold", [0.1, 0.41, 0.5, 0.99, 1.0])
def test_the_threshold_lies_in_the_middle_and_comes_back(threshold: float) -> None:
    scores = np.linspace(0, 1, 101, dtype=np.float32)
    moved = center_threshold(scores, threshold)
    np.testing.assert_array_equal(moved >= 0.5, scores >= np.float32(threshold))
    np.testing.assert_allclose(uncenter_threshold(moved, threshold), scores, atol=1e-6)


def test_the_stage_writes_refined_maps() -> None:
    index = fabricate_images(3, held_out=2)
    fabricate_segmenter()
    main(Config(crf=CRFConfig(iterations=2)))
    maps = open_label_maps("predict")
    assert maps.image_ids == index.in_splits("validation", "test").image_ids
    for found in maps:
        assert set(np.unique(found.map)) <= {1, 2, 3}
        assert found.score is not None
        assert found.score.max() <= 100
