"""Colors of categories, and laying them over a photograph."""

from __future__ import annotations

import numpy as np

from stages.core.images.overlay import overlay
from stages.core.images.palette import category_colors


def test_colors_are_fixed_apart_and_start_with_black() -> None:
    colors = category_colors(60)
    assert colors.shape == (61, 3)
    assert colors[0].tolist() == [0, 0, 0]
    assert len({tuple(color) for color in colors.tolist()}) == 61
    np.testing.assert_array_equal(category_colors(10), colors[:11])
    assert np.abs(np.diff(colors[1:].astype(int), axis=0)).max(1).min() > 60


def test_an_overlay_blends_categories_edges_them_and_leaves_the_background() -> None:
    image = np.full((9, 9, 3), 200, np.uint8)
    label = np.zeros((9, 9), np.uint16)
    label[3:7, 3:7] = 2
    colors = np.array([[0, 0, 0], [1, 2, 3], [100, 0, 50]], np.uint8)
    shown = overlay(image, label, colors, opacity=0.5)
    assert shown[5, 5].tolist() == [150, 100, 125]
    assert shown[0, 0].tolist() == [200, 200, 200]
    assert shown[3, 4].tolist() == shown[7, 4].tolist() == shown[4, 3].tolist() == [255, 255, 255]
    assert (image == 200).all()
