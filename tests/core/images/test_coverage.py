"""Views that must show enough of a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from stages.core.artifacts.label_maps import LabelMap, open_label_maps, write_label_maps
from stages.core.config.views import CoverageConfig, CropConfig, MultiCropConfig
from stages.core.errors import UserError
from stages.core.images.dataset import ViewDataset
from stages.core.images.views import draw_covered_views
from tests.fabricate import fabricate_images, whole

VIEWS = MultiCropConfig(crops=(CropConfig(count=2, size=16, scale=(0.2, 1.0)),), photometric=None)
COVERAGE = CoverageConfig(share=(0.1, 0.9), tries=3)


def mask_of(side: int) -> np.ndarray:
    mask = np.zeros((32, 32), bool)
    mask[:side, :side] = True
    return mask


@pytest.mark.parametrize("limits", [(0.1, 0.9), (0.01, 0.99), (0.2, 0.6)])
def test_every_view_lies_between_the_limits(limits: tuple[float, float]) -> None:
    # A photograph that is its own mask: what the view shows is counted in its pixels.
    mask = mask_of(14)
    image = np.repeat(mask[..., None], 3, 2).astype(np.uint8) * 255
    rng, found = np.random.default_rng(0), 0
    for _ in range(200):
        views = draw_covered_views(whole(image), mask, VIEWS, CoverageConfig(share=limits), rng)
        for view in views or []:
            window = view.window
            inside = mask[window.y : window.y + window.height, window.x : window.x + window.width].mean()
            assert limits[0] - 0.08 < inside < limits[1] + 0.08  # nearest neighbor against every pixel
            found += 1
    assert found > 20


def test_three_tries_fail_as_often_as_three_draws_do() -> None:
    """The share of failures is (1 - p)^3 for one view, p counted with a single try."""
    image, mask = np.zeros((32, 32, 3), np.uint8), mask_of(12)
    one = MultiCropConfig(crops=(CropConfig(count=1, size=16, scale=(0.2, 0.6)),), photometric=None)
    failed = {}
    for tries in (1, 3):
        rng, coverage = np.random.default_rng(1), CoverageConfig(share=(0.15, 0.99), tries=tries)
        failed[tries] = np.mean(
            [draw_covered_views(whole(image), mask, one, coverage, rng) is None for _ in range(4000)]
        )
    assert 0.3 < failed[1] < 0.9
    assert abs(failed[3] - failed[1] ** 3) < 0.03


def write_maps(sides: dict[int, int]) -> Any:
    index = fabricate_images(12)
    maps = [
        LabelMap(image_id, 32, 32, mask_of(sides.get(position, 20)).astype(np.uint8) * 255)
        for position, image_id in enumerate(index.image_ids)
    ]
    write_label_maps("saliency", "drawn", maps)
    return index


def test_a_photograph_without_a_fitting_view_is_replaced_by_the_same_other_one() -> None:
    index = write_maps({0: 0, 1: 32, 2: 20})
    dataset = ViewDataset(index, VIEWS, {"saliency": open_label_maps("saliency")}, 0, COVERAGE)
    again = ViewDataset(index, VIEWS, {"saliency": open_label_maps("saliency")}, 0, COVERAGE)
    replaced = set()
    for epoch in range(8):
        for position in (0, 1):
            sample = dataset[epoch, position]
            assert sample["position"] not in (0, 1)
            for cut in sample["maps"]["saliency"]:
                assert 0.1 < (cut >= 128).mean() < 0.9
            same = again[epoch, position]
            assert same["position"] == sample["position"]
            np.testing.assert_array_equal(np.stack(same["pixels"]), np.stack(sample["pixels"]))
            replaced.add(sample["position"])
    assert len(replaced) > 2


def test_no_fitting_view_anywhere_is_said() -> None:
    index = write_maps(dict.fromkeys(range(12), 0))
    with pytest.raises(UserError, match="widen them"):
        ViewDataset(index, VIEWS, {"saliency": open_label_maps("saliency")}, 0, COVERAGE)[0, 0]


@pytest.mark.parametrize("share", [(0.5, 0.5), (0.9, 0.1), (-0.1, 0.5), (0.1, 1.1)])
def test_limits_that_allow_nothing_are_refused(share: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="two shares"):
        CoverageConfig(share=share)
