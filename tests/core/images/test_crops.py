"""Windows and cuts against torchvision; maps move with their photograph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from stages.core.image_files import REDUCTIONS
from stages.core.images.crops import (
    Window,
    align_window,
    center_crop,
    center_window,
    crop_and_resize,
    crop_map,
    largest_reduction,
    reduce_window,
    resize_short_side,
    sample_window,
)

DRAWS = 2000


@pytest.mark.parametrize(
    ("photo", "scale"),
    [((375, 500), (0.14, 1.0)), ((375, 500), (0.05, 0.14)), ((90, 600), (0.3, 1.0)), ((600, 90), (0.3, 1.0))],
    ids=["large", "small", "wide", "high"],
)
def test_windows_are_distributed_as_torchvisions(photo: tuple[int, int], scale: tuple[float, float]) -> None:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    ours = np.array([sample_window(*photo, scale, 0.5, rng)[:4] for _ in range(DRAWS)], float)
    image, crop = torch.zeros(1, *photo), v2.RandomResizedCrop(8, scale)
    drawn = [crop.make_params([image]) for _ in range(DRAWS)]
    theirs = np.array([[one["left"], one["top"], one["width"], one["height"]] for one in drawn], float)
    for column in range(4):
        assert ks_2samp(ours[:, column], theirs[:, column]).pvalue > 0.001, ["x", "y", "width", "height"][column]
    for joint in (
        lambda one: one[:, 2] * one[:, 3],
        lambda one: one[:, 2] / one[:, 3],
        lambda one: one[:, 0] - one[:, 1],
    ):
        assert ks_2samp(joint(ours), joint(theirs)).pvalue > 0.001


def test_windows_lie_in_the_photograph_and_are_mirrored_as_often_as_asked() -> None:
    rng = np.random.default_rng(0)
    windows = [sample_window(20, 31, (0.05, 1.0), 0.3, rng) for _ in range(1000)]
    for x, y, width, height, _ in windows:
        assert 0 <= x <= x + width <= 31
        assert 0 <= y <= y + height <= 20
        assert min(width, height) > 0
    assert 250 < sum(window.flip for window in windows) < 350
    assert not any(sample_window(20, 31, (0.05, 1.0), 0.0, rng).flip for _ in range(50))


@pytest.mark.parametrize("photo", [(1, 1), (1, 50), (50, 1), (2, 3)])
def test_tiny_photographs_have_windows(photo: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        x, y, width, height, _ = sample_window(*photo, (0.05, 0.14), 0.5, rng)
        assert width > 0
        assert height > 0
        assert x + width <= photo[1]
        assert y + height <= photo[0]


def test_the_fallback_is_the_largest_centered_window() -> None:
    assert center_window(30, 400) == Window(180, 0, 40, 30, False)
    assert center_window(400, 30) == Window(0, 180, 30, 40, False)
    assert center_window(30, 36) == Window(0, 0, 36, 30, False)


PHOTO = np.random.default_rng(1).integers(0, 256, (60, 80, 3)).astype(np.uint8)


@pytest.mark.parametrize("window", [(10, 12, 40, 30), (0, 0, 80, 60), (70, 50, 10, 10), (5, 5, 20, 15), (3, 4, 1, 1)])
@pytest.mark.parametrize("size", [8, 24])
def test_a_cut_equals_torchvisions_of_pillows_pixel_by_pixel(window: tuple[int, int, int, int], size: int) -> None:
    x, y, width, height = window
    expected = tv.resized_crop(Image.fromarray(PHOTO), y, x, height, width, [size, size], antialias=True)
    got = crop_and_resize(PHOTO, Window(*window, False), size).astype(int)
    np.testing.assert_allclose(got, np.asarray(expected), atol=1)  # Pillow rounds twice, after rows and after columns


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_an_aligned_window_stands_on_whole_pixels_of_the_smaller_photograph(reduction: int) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        window = sample_window(375, 500, (0.05, 1.0), 0.5, rng)
        aligned = align_window(window, reduction)
        for before, after in zip(window[:4], aligned[:4], strict=True):
            assert after % reduction == 0
            assert 0 <= before - after < reduction
        assert reduce_window(aligned, reduction) == Window(*(side / reduction for side in aligned[:4]), window.flip)


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([(448, 600, 224)], 2),
        ([(447, 600, 224)], 1),
        ([(900, 1000, 100), (500, 410, 100)], 4),
        ([(90, 90, 96)], 1),
        ([(9000, 9000, 96)], 8),
    ],
)
def test_no_view_is_enlarged_by_decoding_less(windows: list[tuple[int, int, int]], expected: int) -> None:
    assert largest_reduction((Window(0, 0, w, h, False), size) for w, h, size in windows) == expected


@pytest.mark.parametrize("shape", [(60, 75), (60, 80), (47, 80), (59, 41), (9, 80)])
def test_short_side_and_center_crop_equal_torchvisions(shape: tuple[int, int]) -> None:
    photo = np.ascontiguousarray(PHOTO[: shape[0], : shape[1]])
    resized, expected = resize_short_side(photo, 32), tv.resize(Image.fromarray(photo), [32], antialias=True)
    np.testing.assert_array_equal(resized, np.asarray(expected))
    for size in (24, 25, 32):
        np.testing.assert_array_equal(center_crop(resized, size), np.asarray(tv.center_crop(expected, [size, size])))


@pytest.mark.parametrize("shape", [(60, 80), (30, 40), (120, 160)])
def test_a_map_is_cut_where_the_photograph_is(shape: tuple[int, int]) -> None:
    label = np.zeros(shape, np.uint16)
    factor = shape[0] / 60
    top, left = int(20 * factor), int(40 * factor)
    label[top : top + int(10 * factor), left : left + int(10 * factor)] = 700  # the photograph's (40..50, 20..30)
    for window in [Window(30, 10, 40, 40, False), Window(40, 20, 10, 10, False), Window(44, 24, 30, 30, False)]:
        got = crop_map(label, (60, 80), window, 20)
        centers = (np.arange(20) + 0.5) / 20
        x, y = window.x + centers * window.width, window.y + centers * window.height
        expected = ((y >= 20) & (y < 30))[:, None] & ((x >= 40) & (x < 50))[None]
        np.testing.assert_array_equal(got, np.where(expected, 700, 0))
        assert got.dtype == np.uint16


def test_a_cut_of_the_whole_is_the_map_and_one_pixel_stays_one() -> None:
    label = np.arange(100).reshape(10, 10)
    np.testing.assert_array_equal(crop_map(label, (50, 50), Window(0, 0, 50, 50, False), 10), label)
    assert crop_map(np.array([[7]]), (50, 80), Window(3, 4, 20, 20, True), 16).tolist() == [[7]]
