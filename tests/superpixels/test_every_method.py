"""What holds for every method of the union."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest
from skimage.measure import label as find_components

from stages.core.config.params import models_by_method
from stages.superpixels import Config
from stages.superpixels.methods.grid import GridConfig
from stages.superpixels.methods.slic import VICE

METHODS = [model() for method, model in models_by_method(Config).items() if method != "none"] + [VICE]
SHAPES = [(1, 1), (1, 40), (2, 3), (7, 90), (19, 20), (45, 37)]


def draw(kind, shape):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    flat = np.full((*shape, 3), 77, np.uint8)
    two = np.where(np.arange(shape[1])[None, :, None] < shape[1] // 2, flat, np.uint8(200))
    return {"noise": noise, "flat": flat, "two colors": two, "gray": np.repeat(noise[..., :1], 3, axis=2)}[kind]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.method)
@pytest.mark.parametrize("kind", ["noise", "flat", "two colors", "gray"])
def test_ids_run_from_1_and_each_is_one_component(method, kind):
    for shape in SHAPES:
        regions = method.compute(draw(kind, shape))
        assert regions.shape == shape
        assert regions.dtype == np.uint16
        ids = np.unique(regions)
        np.testing.assert_array_equal(ids, np.arange(1, len(ids) + 1))
        assert find_components(regions.astype(int), connectivity=1, background=0).max() == len(ids)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.method)
def test_a_copy_in_another_process_cuts_the_same(method):
    image = cv2.GaussianBlur(draw("noise", (60, 80)), (9, 9), 0)
    first = method.compute(image)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(method)).compute(image), first)
    np.testing.assert_array_equal(method.compute(image), first)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.method)
def test_large_photographs_are_cut_at_the_working_size(method):
    small = type(method).model_validate(method.model_dump() | {"max_side": 64})
    assert small.compute(draw("flat", (300, 200))).shape == (64, 43)


@pytest.mark.parametrize(
    ("shape", "cut"), [((400, 800), (320, 640)), ((900, 400), (720, 320)), ((200, 300), (200, 300))]
)
def test_regions_are_cut_at_the_shorter_side_of_the_frame_of_views(shape, cut):
    """ViCE's views are cut from the central square at 320 pixels; a region of 20 then has 20 of these."""
    method = GridConfig(max_side=4096, short_side=320, region_size=20)
    regions = method.compute(np.zeros((*shape, 3), np.uint8))
    assert regions.shape == cut
    assert (regions == 1).sum() == 20 * 20
