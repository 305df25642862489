"""Palette, HC, RC and their parts against the formulas written out pixel by pixel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from stages.saliency.global_contrast.palette import Palette, find_palette, smooth_colors
from stages.saliency.global_contrast.region_contrast import contrast_regions
from stages.saliency.global_contrast.region_statistics import measure_regions
from stages.saliency.methods.hc import HCConfig
from stages.saliency.methods.rc import RCConfig


def draw(colors, height=24, width=36, seed=0):
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, len(colors), (height // 6, width // 6))
    return np.kron(np.array(colors, np.uint8)[blocks], np.ones((6, 6, 1), np.uint8))


COLORS = [(250, 20, 20), (20, 250, 20), (20, 20, 250), (240, 240, 20), (10, 10, 10), (128, 128, 128)]


def test_palette_of_few_colors_is_exact_and_sorted_by_frequency():
    image = draw(COLORS)
    palette = find_palette(image)
    colors, counts = np.unique(image.reshape(-1, 3), axis=0, return_counts=True)
    assert sorted(palette.sizes) == sorted(counts)
    assert list(palette.sizes) == sorted(palette.sizes, reverse=True)
    lab = cv2.cvtColor((image / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB)
    for i in range(len(colors)):
        for j in range(len(colors)):
            of_i, of_j = lab[palette.color_index == i][0], lab[palette.color_index == j][0]
            assert palette.distances[i, j] == pytest.approx(np.linalg.norm(of_i - of_j), abs=1e-2)


def test_rare_colors_join_the_nearest_frequent_one():
    image = np.zeros((100, 100, 3), np.uint8)
    frequent = [(30 * i, 0, 0) for i in range(8)] + [(0, 30 * i, 0) for i in range(1, 6)]
    image[:] = np.array(frequent)[np.arange(10000) % len(frequent)].reshape(100, 100, 3)
    image[0, 0] = (210, 25, 25)
    palette = find_palette(image)
    assert len(palette.sizes) == len(frequent)
    assert palette.color_index[0, 0] == palette.color_index[np.all(image == (210, 0, 0), axis=2)][0]


def test_color_smoothing_is_equation_4():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (12, 3)).astype(np.float32)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2).astype(np.float32)
    palette = Palette(np.zeros((1, 1), np.uint8), np.ones(12, np.int64), distances)
    values, weights = rng.uniform(0, 1, (2, 12)).astype(np.float32)
    wanted = []
    for color in range(12):
        near = np.argsort(distances[color])[:3]
        total = distances[color, near].sum()
        say = (total - distances[color, near]) * weights[near]
        wanted.append((say * values[near]).sum() / (total * weights[near].sum()))
    wanted = (np.array(wanted) - min(wanted)) / (max(wanted) - min(wanted))
    np.testing.assert_allclose(smooth_colors(values, palette, weights, 0.25), wanted, rtol=1e-4, atol=1e-6)


def test_hc_orders_colors_by_their_mean_distance_to_all_pixels():
    image = draw(COLORS[:4])
    lab = cv2.cvtColor((image / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB).reshape(-1, 3)
    mean_distance = np.linalg.norm(lab[:, None] - lab[None], axis=2).mean(axis=1).reshape(image.shape[:2])
    middles = np.s_[3::6, 3::6]  # away from the final blur
    scores, wanted = HCConfig().score(image)[middles], mean_distance[middles]
    assert scores[wanted == wanted.max()].min() == scores.max()
    assert scores[wanted == wanted.min()].max() == scores.min()


def test_region_contrast_is_equations_5_to_7():
    image = draw(COLORS, seed=3)
    height, width = image.shape[:2]
    regions = (np.arange(height)[:, None] // 8 * 3 + np.arange(width) // 12).astype(np.int32)
    palette = find_palette(image)
    statistics = measure_regions(regions, palette.color_index, len(palette.sizes))
    lab = cv2.cvtColor((image / np.float32(255)).astype(np.float32), cv2.COLOR_RGB2LAB)
    y, x = (np.mgrid[:height, :width] + 0.5) / np.array([height, width])[:, None, None]
    wanted = []
    for a in range(9):
        in_a = regions == a
        off = np.abs(x[in_a] - 0.5).mean() ** 2 + np.abs(y[in_a] - 0.5).mean() ** 2
        total = 0.0
        for b in set(range(9)) - {a}:
            in_b = regions == b
            color = np.linalg.norm(lab[in_a][:, None] - lab[in_b][None], axis=2).mean()
            space = (x[in_a].mean() - x[in_b].mean()) ** 2 + (y[in_a].mean() - y[in_b].mean()) ** 2
            total += np.exp(-space / 0.4) * in_b.sum() * color
        wanted.append(np.exp(-9 * off) * total)
    wanted = (np.array(wanted) - min(wanted)) / (max(wanted) - min(wanted))
    np.testing.assert_allclose(contrast_regions(statistics, palette, 0.4), wanted, atol=1e-3)


def test_spreads_and_margins_are_counted_pixel_by_pixel():
    rng = np.random.default_rng(0)
    regions = np.sort(rng.integers(0, 5, (60, 110)), axis=1).astype(np.int32)
    statistics = measure_regions(regions, np.zeros(regions.shape, np.uint8), 1)
    assert statistics.margin == (2, 1)
    y, x = np.mgrid[:60, :110]
    for region in range(5):
        inside = regions == region
        assert statistics.sizes[region] == inside.sum()
        spread = [np.abs(axis[inside] - axis[inside].mean()).mean() for axis in (x, y)]
        np.testing.assert_allclose(statistics.spreads[region], spread, rtol=1e-4)
        sides, ends = inside & ((x < 2) | (x >= 108)), inside & ((y < 1) | (y >= 59))
        np.testing.assert_array_equal(statistics.margin_pixels[region], [sides.sum(), ends.sum()])
        assert statistics.margin_colors[region, 0] == (sides | ends).sum()


def test_rc_takes_the_rarer_of_two_colors():
    image = np.full((60, 80, 3), (20, 20, 200), np.uint8)
    image[20:40, 30:60] = (200, 20, 20)
    scores = RCConfig().score(image)
    assert scores[30, 45] == 1
    assert scores[5, 5] == 0
