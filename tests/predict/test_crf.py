"""The dense CRF: what it does to easy pictures, and that it is asked for by name where it is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import read_model
from stages.core.errors import UserError
from stages.core.images.inference import normalize
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.predict import Config
from stages.predict.__main__ import main
from stages.predict.crf import CRFConfig, refine
from tests.fabricate import fabricate_images, fabricate_segmenter


def iterate_batches(segmenter: Segmenter) -> torch.Tensor:
    pixels = np.random.default_rng(0).integers(0, 255, (1, 3, 32, 40)).astype(np.uint8)
    return normalize(torch.from_numpy(pixels), segmenter.expects)


def test_probabilities_are_the_softmax_of_the_enlarged_logits_of_the_most_likely_labels() -> None:
    fabricate_images(3)
    fabricate_segmenter(clusters=5)
    segmenter = restore_segmenter(*read_model("finetune"))
    images = iterate_batches(segmenter)
    labels, found = segmenter.probabilities(images, (20, 30), 3)
    with torch.no_grad():
        logits = segmenter(images)
    kept = sorted(logits.softmax(1).mean((0, 2, 3)).argsort(descending=True)[:3].tolist())
    assert labels == [number + 1 for number in kept]
    expected = F.interpolate(logits[:, kept], (20, 30), mode="bilinear")[0].softmax(0)
    torch.testing.assert_close(found, expected)
    every, all_of_them = segmenter.probabilities(images, (20, 30), 9)
    assert every == [1, 2, 3, 4, 5]
    torch.testing.assert_close(all_of_them.sum(0), torch.ones(20, 30))


def test_labels_move_to_the_edge_of_the_colors() -> None:
    pytest.importorskip("pydensecrf.densecrf")
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 220
    right = np.where(np.arange(40) >= 24, 0.7, 0.3)  # the guess is four pixels off
    noise = np.random.default_rng(0).uniform(-0.15, 0.15, (40, 40))
    guess = np.clip(np.tile(right, (40, 1)) + noise, 0.05, 0.95)
    refined = refine(image, np.stack([1 - guess, guess]).astype(np.float32), CRFConfig())
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-4)
    assert ((guess > 0.5) == (image[..., 0] > 0)).mean() < 0.95
    assert ((refined[1] > 0.5) == (image[..., 0] > 0)).mean() > 0.99


def test_the_stage_writes_refined_maps() -> None:
    pytest.importorskip("pydensecrf.densecrf")
    index = fabricate_images(3, held_out=2)
    fabricate_segmenter()
    main(Config(crf=CRFConfig(iterations=2)))
    maps = open_label_maps("predict")
    assert maps.image_ids == index.of("validation", "test").image_ids
    for found in maps:
        assert set(np.unique(found.map)) <= {1, 2, 3}
        assert found.score is not None
        assert found.score.max() <= 100


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    with pytest.raises(UserError, match=r"pip install 'luss\[crf\]'"):
        refine(np.zeros((4, 4, 3), np.uint8), np.full((2, 4, 4), 0.5, np.float32), CRFConfig())
