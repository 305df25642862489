"""The overlap grid against a walk back through each view's geometry, one point at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.images.crops import Window, crop_and_resize
from stages.core.images.view_overlap import GRID, overlap_grid, sample_at


def tensor(*windows: tuple[float, ...]) -> torch.Tensor:
    return torch.tensor(windows, dtype=torch.float32)


def in_photograph(place: tuple[float, float], window: tuple[float, ...]) -> tuple[float, float]:
    """The photograph's pixel that a place in -1..1 of a view shows."""
    x, y, width, height, flip = window
    across = (place[0] + 1) / 2
    return x + (1 - across if flip else across) * width, y + (place[1] + 1) / 2 * height


def test_a_worked_case() -> None:
    """Views of 10 x 10 at (0, 0) and (5, 0): they share x 5..10, the right half of one and the left of the other."""
    grid = overlap_grid(tensor((0, 0, 10, 10, 0)), tensor((5, 0, 10, 10, 1)), 3)
    assert grid.places[0][0, 0, :, 0].tolist() == [0, 0.5, 1]
    assert grid.places[1][0, 0, :, 0].tolist() == [1, 0.5, 0], "mirrored: what lies left is shown right"
    for places in grid.places:
        assert places[0, :, 1, 1].tolist() == [-1, 0, 1]


def test_both_places_show_the_same_point_on_a_lattice_over_the_common_rectangle() -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        one, two = (
            (*rng.integers(0, 40, 2).tolist(), *rng.integers(30, 80, 2).tolist(), int(rng.integers(2))) for _ in "ab"
        )
        grid = overlap_grid(tensor(one), tensor(two))
        assert bool(grid.exists) == (
            max(one[0], two[0]) < min(one[0] + one[2], two[0] + two[2])
            and max(one[1], two[1]) < min(one[1] + one[3], two[1] + two[3])
        )
        if not grid.exists:
            continue
        left, right = max(one[0], two[0]), min(one[0] + one[2], two[0] + two[2])
        top, bottom = max(one[1], two[1]), min(one[1] + one[3], two[1] + two[3])
        for row, column in np.ndindex(GRID, GRID):
            expected = left + (right - left) * column / (GRID - 1), top + (bottom - top) * row / (GRID - 1)
            for places, window in zip(grid.places, (one, two), strict=True):
                found = in_photograph(tuple(places[0, row, column].tolist()), window)
                assert found == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("other", [(10, 0, 10, 10, 0), (0, 30, 10, 10, 1), (20, 20, 5, 5, 0)])
def test_views_that_share_nothing_are_read_as_zeros(other: tuple[float, ...]) -> None:
    grid = overlap_grid(tensor((0, 0, 10, 10, 0), (0, 0, 10, 10, 0)), tensor(other, (5, 5, 10, 10, 0)))
    assert grid.exists.tolist() == [False, True]
    read = sample_at(torch.ones(2, 3, 4, 4), grid.places[1])
    assert not read[0].any()
    assert read[1].all()


def test_corresponding_places_of_views_that_are_cut_show_the_same_content() -> None:
    """A photograph whose colors are its coordinates, cut as the loader does, one view mirrored."""
    rows, columns = np.mgrid[0:200, 0:240]
    photograph = np.stack([rows, columns, np.zeros_like(rows)], 2).astype(np.uint8)
    windows = Window(20, 10, 100, 120, False), Window(60, 40, 90, 100, True)
    maps = []
    for window in windows:
        view = torch.from_numpy(crop_and_resize(photograph, window, 64).copy()).permute(2, 0, 1)[None]
        maps.append(view.flip(-1) if window.flip else view)
    grid = overlap_grid(tensor(tuple(windows[0])), tensor(tuple(windows[1])))
    first, second = (sample_at(view, places) for view, places in zip(maps, grid.places, strict=True))
    inside = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(first[inside], second[inside], atol=1.5, rtol=0)
    assert first[inside].std() > 10


@pytest.mark.parametrize("size", [(4, 4), (7, 3), (1, 5)])
def test_reading_is_torchs_grid_sample_with_its_gradient(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    features = torch.randn(3, 5, *size, requires_grad=True)
    places = torch.rand(3, 6, 7, 2) * 3 - 1.5
    expected = F.grid_sample(features, places, mode="bilinear", padding_mode="zeros", align_corners=False)
    read = sample_at(features, places)
    torch.testing.assert_close(read, expected)
    weights = torch.randn_like(expected)
    gradients = [torch.autograd.grad((result * weights).sum(), features)[0] for result in (read, expected)]
    torch.testing.assert_close(*gradients)
