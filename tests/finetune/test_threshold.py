"""The label-free threshold against scikit-image's Otsu."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.filters import threshold_otsu

from stages.core.artifacts.models import read_model
from stages.core.config.segmenter import ThresholdConfig
from stages.core.nets.segmenter import Segmenter, restore_segmenter
from stages.finetune.threshold import find_threshold
from tests.fabricate import fabricate_images, fabricate_segmenter


def restored() -> Segmenter:
    fabricate_segmenter(2)
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    with torch.no_grad():
        segmenter.head.conv.weight.mul_(8)  # spread the scores
    return segmenter


def test_it_is_found_on_the_training_photographs_scores() -> None:
    index, segmenter = fabricate_images(9), restored()
    seen = [segmenter.segment_photograph(index.read(n), 10**6).score.ravel() for n in range(9)]
    expected = (threshold_otsu(hist=(np.bincount(np.concatenate(seen), minlength=101), np.arange(101))) + 1) / 100
    assert find_threshold(ThresholdConfig(photographs=256), segmenter, index) == pytest.approx(expected)


def test_few_photographs_are_drawn_without_regard_to_their_folders() -> None:
    """Evenly spread over the table they would hold the same number of every category."""
    index, segmenter = fabricate_images(9), restored()
    drawn = sorted(np.random.default_rng(0).permutation(9)[:3].tolist())
    assert drawn != [0, 4, 8]
    seen = np.concatenate([segmenter.segment_photograph(index.read(n), 10**6).score.ravel() for n in drawn])
    expected = (threshold_otsu(hist=(np.bincount(seen, minlength=101), np.arange(101))) + 1) / 100
    assert find_threshold(ThresholdConfig(photographs=3), segmenter, index) == pytest.approx(expected)


def test_a_fixed_one_is_taken_as_it_is() -> None:
    assert find_threshold(ThresholdConfig(rule="fixed", value=0.37), restored(), fabricate_images(2)) == 0.37
