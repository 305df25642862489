"""What a view sees of class maps, against torchvision's RoIAlign and by hand; and the views that go with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.ops import roi_align

from stages.core.artifacts.class_maps import ClassMaps
from stages.core.config.views import ShareCropConfig
from stages.core.images.class_map_crops import ClassMapCrops, crop_class_maps, scale_to_unit
from stages.core.images.crops import Window
from stages.core.images.dataset import EpochBatches, ViewDataset, augment_batch, load_batches
from stages.core.images.views import draw_share_crop
from tests.fabricate import fabricate_class_maps, fabricate_image_labels, fabricate_images, project, whole

__all__ = ["project"]


@given(st.data())
def test_it_equals_torchvisions_roi_align(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(5, 70)), data.draw(st.integers(5, 70))
    w, h = data.draw(st.integers(1, width)), data.draw(st.integers(1, height))
    window = Window(data.draw(st.integers(0, width - w)), data.draw(st.integers(0, height - h)), w, h, False)
    grid = (data.draw(st.integers(1, 40)), data.draw(st.integers(1, 40)))
    side = data.draw(st.integers(1, 20))
    maps = np.random.default_rng(0).random((3, *grid), np.float32)
    scale_y, scale_x = grid[0] / height, grid[1] / width
    # A little smaller, so that rounding adds no sample where a cell is a whole number of places.
    lower, right = (window.y + h * (1 - 1e-8)) * scale_y, (window.x + w * (1 - 1e-8)) * scale_x
    box = torch.tensor([[0, window.x * scale_x, window.y * scale_y, right, lower]], dtype=torch.float64)
    expected = roi_align(torch.from_numpy(maps)[None].double(), box, (side, side), aligned=True)[0].numpy()
    np.testing.assert_allclose(crop_class_maps(maps, (height, width), window, side), expected, atol=1e-5)


def test_the_whole_photograph_at_the_maps_own_size_is_the_map_itself() -> None:
    maps = np.random.default_rng(0).random((2, 4, 4), np.float32)
    np.testing.assert_allclose(crop_class_maps(maps, (30, 50), Window(0, 0, 50, 30, False), 4), maps, rtol=1e-6)
    halves = crop_class_maps(maps, (30, 50), Window(0, 0, 50, 30, False), 2)
    np.testing.assert_allclose(halves[0, 0, 1], maps[0, :2, 2:].mean(), rtol=1e-6)
    corner = crop_class_maps(maps, (40, 40), Window(20, 10, 20, 20, False), 2)
    np.testing.assert_allclose(corner, maps[:, 1:3, 2:], rtol=1e-6)


def test_values_are_scaled_over_all_classes_of_the_photograph() -> None:
    above = np.array([[[0.0, 1.0]], [[3.0, np.nan]]], np.float32)
    maps = ClassMaps("a", 10, 20, np.array([0, 2], np.uint16), above, np.array([[1.0, 1.0]], np.float32))
    expected = [[[0.25, 0.5]], [[0, 0]], [[1, 0]]]
    np.testing.assert_allclose(scale_to_unit(maps, 3), expected)
    maps = maps._replace(class_ids=np.array([0, 1], np.uint16))
    assert not scale_to_unit(maps._replace(above=np.zeros((2, 1, 2), np.float32)), 2).any(), "flat maps say nothing"


def test_a_window_has_the_photographs_aspect_and_one_of_the_shares() -> None:
    spec, rng = ShareCropConfig(size=16, shares=(0.5, 0.9), photometric=None), np.random.default_rng(0)
    image = np.zeros((40, 60, 3), np.uint8)
    windows = [draw_share_crop(whole(image), spec, rng)[0].window for _ in range(200)]
    assert {(window.width, window.height) for window in windows} == {(30, 20), (54, 36)}
    assert {window.flip for window in windows} == {True, False}
    half = [window for window in windows if window.width == 30]
    assert (min(w.x for w in half), max(w.x for w in half)) == (0, 30)
    assert (min(w.y for w in half), max(w.y for w in half)) == (0, 20)


@pytest.mark.usefixtures("project")
def test_maps_are_cut_and_mirrored_like_their_view() -> None:
    from stages.core.artifacts.class_maps import open_class_maps

    index = fabricate_images(6, (32, 48))
    fabricate_image_labels(index)
    fabricate_class_maps(index, 3)
    stored, device = open_class_maps("pseudolabel"), torch.device("cpu")
    spec = ShareCropConfig(size=32, photometric=None)
    dataset = ViewDataset(index, spec, {"class_maps": ClassMapCrops(stored, 5)}, 0)
    raw = next(load_batches(dataset, EpochBatches(6, 6, 0, range(1)), device))
    batch = augment_batch(raw, spec, device)
    (maps,) = batch.maps["class_maps"]
    assert maps.shape == (6, 3, 5, 5)
    assert maps.dtype == torch.float32
    flips = set()
    for row, position in enumerate(batch.positions.tolist()):
        *place, flip = (int(value) for value in batch.windows[row, 0])
        values = scale_to_unit(stored[index[position].image_id], 3)
        expected = crop_class_maps(values, (32, 48), Window(*place, False), 5)
        np.testing.assert_array_equal(maps[row].numpy(), expected[..., ::-1] if flip else expected)
        flips.add(flip)
    assert flips == {0, 1}
    assert Path("artifacts/pseudolabel/class_maps").is_dir()
