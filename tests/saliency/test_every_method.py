"""What holds for every method that maps one photograph at a time."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from stages.core.config.params import models_by_method
from stages.saliency import Config
from stages.saliency.maps import PhotoSaliency

MODELS = [model for model in models_by_method(Config).values() if issubclass(model, PhotoSaliency)]
METHODS = [model() for model in MODELS]
NAMES = [method.method for method in METHODS]
SHAPES = [(1, 1), (1, 40), (2, 3), (7, 90), (19, 20), (45, 37)]


def draw(kind, shape):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (*shape, 3)).astype(np.uint8)
    flat = np.full((*shape, 3), 77, np.uint8)
    two = np.where(np.arange(shape[1])[None, :, None] < shape[1] // 3, flat, np.uint8(200))
    return {"noise": noise, "flat": flat, "two colors": two, "gray": np.repeat(noise[..., :1], 3, axis=2)}[kind]


def draw_object():
    """A red disc on blurred gray-green noise, and where it is."""
    rng = np.random.default_rng(1)
    image = cv2.GaussianBlur(rng.integers(0, 256, (120, 160, 3)).astype(np.uint8), (15, 15), 0)
    image[..., 0] //= 2
    disc = cv2.circle(np.zeros((120, 160), np.uint8), (75, 62), 26, 1, -1) > 0
    image[disc] = np.array([210, 40, 30]) + rng.integers(-12, 12, (disc.sum(), 3))
    return image, disc


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
@pytest.mark.parametrize("kind", ["noise", "flat", "two colors", "gray"])
def test_odd_images_give_finite_maps_in_range(method, kind):
    for shape in SHAPES:
        scores = method.score(draw(kind, shape))
        assert scores.shape == shape
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert 0 <= scores.min() <= scores.max() <= 1
        assert method.compute(draw(kind, shape)).dtype == np.uint8


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_nothing_stands_out_of_one_color(method):
    assert not method.compute(draw("flat", (60, 80))).any()


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_an_object_stands_out(method):
    image, disc = draw_object()
    scores = method.score(image)
    assert scores[disc].mean() > 2 * scores[~disc].mean()


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_a_copy_in_another_process_maps_the_same(method):
    image, _ = draw_object()
    first = method.compute(image)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(method)).compute(image), first)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_masks_are_binary_and_without_small_spots(model):
    image, _ = draw_object()
    image[5:9, 5:9] = (210, 40, 30)
    mask = model(threshold=0.5, min_area=0.01).compute(image)
    assert set(np.unique(mask)) <= {0, 255}
    assert not mask[4:10, 4:10].any()


def test_grabcut_refines_a_coarse_mask():
    image, disc = draw_object()
    coarse = cv2.dilate(disc.astype(np.float32), np.ones((13, 13)))
    method = METHODS[0].model_copy(update={"threshold": 0.5, "grabcut": True})
    refined = method.to_stored_map(image, coarse) > 0
    overlap = [(mask & disc).sum() / (mask | disc).sum() for mask in (coarse > 0, refined)]
    assert overlap[0] < 0.7
    assert overlap[1] > 0.95


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_large_photographs_are_mapped_at_the_working_size(method):
    small = method.model_copy(update={"max_side": 64})
    assert small.compute(draw("noise", (300, 200))).shape == (64, 43)
