"""The stage: every photograph of the splits asked for, at its own size, before any threshold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import read_model
from stages.core.errors import UserError
from stages.core.nets.segmenter import restore_segmenter
from stages.predict import Config
from stages.predict.__main__ import main
from tests.fabricate import fabricate_images, fabricate_segmenter


def test_all_photographs_of_the_splits_are_segmented() -> None:
    index = fabricate_images(4, (30, 47), held_out=3)
    fabricate_segmenter()
    segmenter = restore_segmenter(*read_model("finetune", ["backbone", "head"]))
    main(Config())
    maps, wanted = open_label_maps("predict"), index.in_splits("validation", "test")
    assert maps.image_ids == wanted.image_ids
    for position, got in enumerate(maps):
        assert got.map.shape == (got.height, got.width) == (30, 47)
        expected = segmenter.segment_photograph(wanted.read(position), 10**6)
        np.testing.assert_array_equal(got.map, expected.label)
        np.testing.assert_array_equal(got.score, expected.score)
        assert got.map.min() >= 1, "stored before any threshold"
    main(Config(splits=("train", "validation", "test")))
    assert open_label_maps("predict").image_ids == index.image_ids


def test_splits_that_are_not_there_are_left_out_but_one_must_be() -> None:
    index = fabricate_images(2)
    fabricate_segmenter()
    main(Config(splits=("train", "test")))
    assert open_label_maps("predict").image_ids == index.image_ids
    with pytest.raises(UserError, match="no photograph in split validation or test; there are: train"):
        main(Config())


def test_the_bound_on_pixels_keeps_the_size() -> None:
    fabricate_images(2, (60, 80))
    fabricate_segmenter()
    main(Config(splits=("train",), max_pixels=300))
    for got in open_label_maps("predict"):
        assert got.map.shape == (60, 80)
        np.testing.assert_array_equal(got.map, np.kron(got.map[::4, ::4], np.ones((4, 4), int)))


def test_a_model_without_a_head_is_refused() -> None:
    from tests.fabricate import fabricate_backbone

    fabricate_images(2)
    fabricate_backbone("finetune")
    with pytest.raises(UserError, match="has no head; it holds: backbone"):
        main(Config())
    assert not Path("artifacts/predict").exists()
