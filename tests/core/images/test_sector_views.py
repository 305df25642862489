"""Views around a common point: geometry by drawing, distributions by counting."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from PIL import Image

from stages.core.config.views import SectorViewConfig
from stages.core.images.crops import Window, crop_and_resize, crop_map
from stages.core.images.sector_views import draw_sector_views, draw_windows, edge_density
from tests.fabricate import whole

PLAIN = {"photometric": None, "flip": 0.5}
LOW = SectorViewConfig(size=48, side=(80, 80), **PLAIN)
HIGH = SectorViewConfig(size=48, side=(60, 200), frame="whole", **PLAIN)
SHAPES = [(60, 96), (90, 70), (160, 160), (30, 40)]


def dotted(height: int, width: int, y: int, x: int) -> np.ndarray:
    """Black with one bright dot of 3x3 pixels."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 1 : y + 2, x - 1 : x + 2] = 255
    return image


def place_in_view(window: Window, size: int, y: float, x: float) -> tuple[float, float]:
    """Where a point of the photograph lies in the mirrored view, by the window that was returned."""
    row, column = (y - window.y) * size / window.height, (x - window.x) * size / window.width
    return row, size - column if window.flip else column


@pytest.mark.parametrize("views", [LOW, HIGH], ids=["square", "whole"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_marked_point_lands_in_all_five_views_where_the_windows_say(
    views: SectorViewConfig, shape: tuple[int, int]
) -> None:
    """The dot is all there is to see, so the common point lies next to it."""
    y, x = shape[0] // 2 + 5, shape[1] // 2 - 7
    image, seen = dotted(*shape, y, x), 0
    ids = (image[..., 0] > 0).astype(np.uint8) * 7 + 1
    for seed in range(40):
        for view in draw_sector_views(whole(image), views, np.random.default_rng(seed)):
            pixels = view.pixels[:, ::-1] if view.window.flip else view.pixels
            regions = crop_map(ids, shape, view.window, views.size)
            regions = regions[:, ::-1] if view.window.flip else regions
            row, column = place_in_view(view.window, views.size, y + 0.5, x + 0.5)
            scale = views.size / view.window.width
            if not (3 < row < views.size - 3 and 3 < column < views.size - 3):
                continue
            seen += 1
            for found in (pixels[..., 0].astype(float), (regions == 8).astype(float)):
                weights = found / found.sum()
                assert (weights.sum(1) @ np.arange(views.size)) + 0.5 == pytest.approx(row, abs=0.6 * max(scale, 1))
                assert (weights.sum(0) @ np.arange(views.size)) + 0.5 == pytest.approx(column, abs=0.6 * max(scale, 1))
    assert seen > 40


@pytest.mark.parametrize("views", [LOW, HIGH], ids=["square", "whole"])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_views_of_a_photograph_share_a_part_of_it(views: SectorViewConfig, shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*shape, 3), np.uint8)
    for seed in range(200):
        windows = draw_windows(image, views, np.random.default_rng(seed))
        left, top = max(each.x for each in windows), max(each.y for each in windows)
        right, bottom = (
            min(each.x + each.width for each in windows),
            min(each.y + each.height for each in windows),
        )
        assert right > left
        assert bottom > top


def test_views_stay_in_the_frame_as_long_as_they_fit() -> None:
    image = np.zeros((120, 200, 3), np.uint8)  # frame: columns 40 to 160, one pixel of 80 is 1.5 of its own
    views = LOW.model_copy(update={"zoom": (0.5, 1.6)})
    for seed in range(100):
        for window in draw_windows(image, views, np.random.default_rng(seed)):
            assert 36 <= window.width == window.height <= 116
            assert 40 <= window.x <= 160 - window.width
            assert 0 <= window.y <= 120 - window.height


def test_a_window_larger_than_the_photograph_is_black_and_without_region_outside() -> None:
    image, views = np.full((30, 30, 3), 200, np.uint8), HIGH.model_copy(update={"zoom": (2.0, 2.0)})
    view = draw_sector_views(whole(image), views, np.random.default_rng(0))[0]
    assert view.window[:4] == (-9, -9, 48, 48)  # scaled up to 60, so that 96 of its pixels are 48 of its own
    ids = crop_map(np.full((15, 15), 3, np.uint8), (30, 30), view.window, views.size)
    inside = np.zeros((48, 48), bool)
    inside[9:39, 9:39] = True
    np.testing.assert_array_equal(ids, inside * 3)
    assert (view.pixels[~cv2.dilate(inside.astype(np.uint8), np.ones((5, 5))).astype(bool)] == 0).all()
    assert (view.pixels[cv2.erode(inside.astype(np.uint8), np.ones((5, 5))).astype(bool)] == 200).all()


@pytest.mark.parametrize(
    "window", [Window(-4, 3, 20, 20, False), Window(25, -6, 16, 16, False), Window(-3, -3, 40, 40, False)]
)
def test_cutting_beyond_the_edge_equals_cutting_from_a_padded_photograph(window: Window) -> None:
    image = np.random.default_rng(1).integers(1, 255, (30, 34, 3), np.uint8)
    padded = np.pad(image, ((50, 50), (50, 50), (0, 0)))
    moved = window._replace(x=window.x + 50, y=window.y + 50)
    np.testing.assert_array_equal(crop_and_resize(image, window, 13), crop_and_resize(padded, moved, 13))
    regions = crop_map(image[..., 0], (30, 34), window, 13)
    np.testing.assert_array_equal(regions, crop_map(padded[..., 0], (130, 134), moved, 13))


def test_centers_lie_one_in_each_sector_at_the_radius_that_is_most_likely() -> None:
    """Views so small in a photograph so large that hardly one is moved; the first is centered on the common point."""
    image = np.zeros((400, 400, 3), np.uint8)
    views = SectorViewConfig(size=40, side=(400, 400), zoom=(1.0, 1.0), **PLAIN)
    turns: list[list[float]] = [[] for _ in range(4)]
    radii = []
    for seed in range(600):
        first, *others = draw_windows(image, views, np.random.default_rng(seed))
        if not (30 < first.x < 330 and 30 < first.y < 330):
            continue
        for sector, window in enumerate(others):
            dx, dy = window.x - first.x, window.y - first.y
            radii.append(math.hypot(dx, dy) / 20)
            if radii[-1] > 0.3:
                turns[sector].append((math.atan2(dy, dx) / (math.pi / 2)) % 4)
    assert len(radii) > 400
    assert max(radii) < 1.1
    assert 0.6 < np.median(radii) < 0.8
    for sector, found in enumerate(turns):
        assert np.mean([sector - 0.15 < turn < sector + 1.15 for turn in found]) > 0.97
        assert np.median(found) == pytest.approx(sector + 0.5, abs=0.1)


def test_the_common_point_follows_the_edges() -> None:
    image = np.zeros((100, 100, 3), np.uint8)
    image[:, 60:] = 255
    density = edge_density(image)
    assert density.sum() == pytest.approx(1)
    assert density.min() > 0
    assert density[:, 56:64].sum() > 0.85
    views = SectorViewConfig(size=10, side=(100, 100), zoom=(1.0, 1.0), **PLAIN)
    centers = [draw_windows(image, views, np.random.default_rng(seed))[0].x + 5 for seed in range(200)]
    assert np.mean([54 < center < 66 for center in centers]) > 0.75


def test_zooms_are_even_over_their_range() -> None:
    views = SectorViewConfig(size=50, side=(320, 320), zoom=(0.5, 1.5), **PLAIN)
    image = np.asarray(Image.new("RGB", (320, 320)))
    sides = [window.width for seed in range(100) for window in draw_windows(image, views, np.random.default_rng(seed))]
    counts, _ = np.histogram(sides, bins=5, range=(25, 75))
    assert counts.sum() == 500
    assert (counts > 70).all()
