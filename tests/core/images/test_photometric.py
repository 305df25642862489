"""Color changes pixel by pixel against torchvision's functions with the same parameters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torchvision.transforms.v2 import functional as tv

from stages.core.config.views import PhotometricConfig
from stages.core.images.compiled_photometric import augment_views_compiled
from stages.core.images.dataset import _finish_by_size
from stages.core.images.photometric import augment_views
from stages.core.images.views import PHOTOMETRIC_FIELDS, draw_photometric
from stages.core.nets.resizing import enlarge
from stages.pretrain.methods.swav.config import SwAVConfig

UNCHANGED = {
    "brightness": 1,
    "contrast": 1,
    "saturation": 1,
    "hue": 0,
    "order": -1,
    "gray": 0,
    "blur": 0,
    "solarize": 0,
}
ORDERS = list(itertools.permutations(range(4)))
TOLERANCE = 1e-3


def views(count: int = 1, side: int = 24) -> torch.Tensor:
    """Uint8 noise with saturated, gray, black and white pixels in it."""
    pixels = torch.randint(0, 256, (count, 3, side, side), generator=torch.Generator().manual_seed(0))
    pixels[:, :, :3] = pixels[:, :1, :3]
    pixels[:, :, 3], pixels[:, :, 4], pixels[:, 1, 5] = 0, 255, 0
    return pixels.to(torch.uint8)


def parameters(*rows: dict[str, float]) -> torch.Tensor:
    return torch.tensor([[{**UNCHANGED, **row}[name] for name in PHOTOMETRIC_FIELDS] for row in rows]).float()


Finish = Callable[..., torch.Tensor]


@pytest.fixture(params=[augment_views, augment_views_compiled], ids=["torch", "compiled"])
def finish(request: pytest.FixtureRequest) -> Finish:
    def apply(pixels: torch.Tensor, *rows: dict[str, float]) -> torch.Tensor:
        flips = torch.zeros(len(pixels), dtype=torch.bool)
        return request.param(pixels, parameters(*rows), flips, torch.zeros(3), torch.ones(3))

    return apply


def check(got: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(got, expected, atol=TOLERANCE, rtol=0)


def jittered(image: torch.Tensor, row: dict[str, float]) -> torch.Tensor:
    changes = [
        (tv.adjust_brightness, "brightness"),
        (tv.adjust_contrast, "contrast"),
        (tv.adjust_saturation, "saturation"),
        (tv.adjust_hue, "hue"),
    ]
    for number in ORDERS[int(row["order"])]:
        change, name = changes[number]
        image = change(image, row[name])
    return image


@pytest.mark.parametrize(
    "row",
    [
        {"order": 0, "brightness": 0.2},
        {"order": 0, "brightness": 1.8},
        {"order": 0, "contrast": 0.2},
        {"order": 0, "contrast": 1.8},
        {"order": 0, "saturation": 0.0},
        {"order": 0, "saturation": 1.8},
        {"order": 0, "hue": 0.2},
        {"order": 0, "hue": -0.2},
        {"order": 0, "hue": 0.5},
    ],
    ids=str,
)
def test_each_change_equals_torchvisions(row: dict[str, float], finish: Finish) -> None:
    pixels = views()
    check(finish(pixels, row), jittered(pixels.float() / 255, {**UNCHANGED, **row}))


def test_all_orders_in_one_batch_equal_torchvisions_one_by_one(finish: Finish) -> None:
    rng = np.random.default_rng(0)
    pixels = views(len(ORDERS))
    rows = [
        {
            **dict(zip(PHOTOMETRIC_FIELDS, rng.uniform(0.3, 1.7, 3), strict=False)),
            "hue": rng.uniform(-0.2, 0.2),
            "order": n,
        }
        for n in range(len(ORDERS))
    ]
    got = finish(pixels, *rows)
    for number, row in enumerate(rows):
        check(got[number], jittered(pixels[number].float() / 255, row))


def test_gray_and_solarize_equal_torchvisions(finish: Finish) -> None:
    pixels = views(2)
    got = finish(pixels, {"gray": 1}, {"solarize": 1})
    images = pixels.float() / 255
    check(got[0], tv.rgb_to_grayscale(images[0], num_output_channels=3))
    check(got[1], tv.solarize(pixels[1], 128).float() / 255)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.0, 1.7, 2.0])
def test_blur_equals_torchvisions_with_radius_three_sigma(sigma: float, finish: Finish) -> None:
    pixels = views()
    radius = max(1, math.ceil(3 * sigma))
    check(finish(pixels, {"blur": sigma}), tv.gaussian_blur(pixels.float() / 255, [2 * radius + 1] * 2, [sigma] * 2))


def test_blur_of_an_image_does_not_depend_on_what_is_beside_it(finish: Finish) -> None:
    pixels = views(3)
    together = finish(pixels, {"blur": 0.4}, {"blur": 2.0}, {"blur": 1.1})
    alone = [finish(pixels[n : n + 1], {"blur": sigma}) for n, sigma in enumerate((0.4, 2.0, 1.1))]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=0)


def test_blur_of_a_view_smaller_than_its_radius(finish: Finish) -> None:
    pixels = views(side=8)[:, :, :4, :4]
    got = finish(pixels, {"blur": 2.0})
    assert torch.isfinite(got).all()
    assert got.std() < (pixels.float() / 255).std()


def test_the_order_is_jitter_gray_blur_solarize(finish: Finish) -> None:
    pixels, row = views(), {"order": 5, "brightness": 1.3, "saturation": 0.4, "hue": 0.1, "contrast": 0.8}
    expected = jittered(pixels.float() / 255, {**UNCHANGED, **row})
    expected = tv.gaussian_blur(tv.rgb_to_grayscale(expected, 3), [7, 7], [1.0, 1.0])
    expected = tv.solarize(expected, 128 / 255)
    got = finish(pixels, {**row, "gray": 1, "blur": 1.0, "solarize": 1})
    near_the_edge = (expected - 128 / 255).abs() < 0.01  # solarizing is not continuous there
    near_the_edge |= (expected - 127 / 255).abs() < 0.01
    check(torch.where(near_the_edge, 0, got), torch.where(near_the_edge, 0, expected))


@pytest.mark.parametrize("finish", [augment_views, augment_views_compiled])
def test_unchanged_views_are_the_pixels_mirrored_and_normalized(finish: Finish) -> None:
    pixels = views(3)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    rows = parameters({}, {"order": 3, "brightness": 0.5}, {})
    got = finish(pixels, rows, torch.tensor([False, False, True]), mean, std)
    expected = tv.normalize(pixels.float() / 255, mean.tolist(), std.tolist())
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[2], tv.horizontal_flip(expected[2]))
    assert not torch.allclose(got[1], expected[1])


def test_parameters_are_drawn_as_often_and_as_wide_as_asked() -> None:
    rng = np.random.default_rng(0)
    drawn = np.stack([draw_photometric(PhotometricConfig(solarize_probability=0.2), rng) for _ in range(3000)])
    column = dict(zip(PHOTOMETRIC_FIELDS, drawn.T, strict=True))
    shares = {name: np.mean(column[name] > 0) for name in ("gray", "blur", "solarize")} | {
        "jitter": np.mean(column["order"] >= 0)
    }
    for name, share in {"jitter": 0.8, "gray": 0.2, "blur": 0.5, "solarize": 0.2}.items():
        assert abs(shares[name] - share) < 0.04, name
    for name, low, width in [
        ("brightness", 0.2, 1.6),
        ("contrast", 0.2, 1.6),
        ("saturation", 0.2, 1.6),
        ("hue", -0.2, 0.4),
    ]:
        assert kstest(column[name], "uniform", (low, width)).pvalue > 0.001, name
    assert kstest(column["blur"][column["blur"] > 0], "uniform", (0.1, 1.9)).pvalue > 0.001
    counts = np.bincount(column["order"][column["order"] >= 0].astype(int), minlength=24)
    assert counts.min() > 60
    assert len(counts) == 24


def test_no_color_changes_leave_everything() -> None:
    row = draw_photometric(None, np.random.default_rng(0))
    assert dict(zip(PHOTOMETRIC_FIELDS, row.tolist(), strict=True)) == UNCHANGED


def test_views_of_one_size_at_once_are_each_as_alone() -> None:
    """As a GPU gets them, computed here."""
    rng, spec = np.random.default_rng(3), SwAVConfig().views
    sizes = [24, 24, 16, 24, 16]
    pixels = [torch.from_numpy(rng.integers(0, 256, (4, size, size, 3)).astype(np.uint8)) for size in sizes]
    rows = [{"order": n % 24, "brightness": 1.2, "hue": 0.1, "gray": n % 3 == 0, "blur": n % 4} for n in range(20)]
    photometric = parameters(*rows).reshape(4, 5, -1)
    flips = torch.from_numpy(rng.random((4, 5)) < 0.5)
    together = _finish_by_size(pixels, photometric, flips, spec, torch.device("cpu"))
    mean, std = torch.tensor(spec.mean), torch.tensor(spec.training_std or spec.std)
    for number, view in enumerate(together):
        planes = pixels[number].permute(0, 3, 1, 2)
        alone = augment_views(planes, photometric[:, number], flips[:, number], mean, std)
        torch.testing.assert_close(view, alone, atol=1e-6, rtol=0)
        assert view.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
@pytest.mark.filterwarnings("error:called a synchronizing CUDA operation")
def test_a_gpu_changes_views_as_the_cpu_and_waits_for_nothing() -> None:
    pixels = torch.cat([views(), views().flip(2), views().flip(3), views()])
    rows = parameters(*({"order": 3 * n, "brightness": 1.3, "hue": 0.1, "gray": n == 2, "blur": n} for n in range(4)))
    flips, black, one = torch.tensor([True, False, True, False]), torch.zeros(3), torch.ones(3)
    expected = augment_views(pixels, rows, flips, black, one)
    there, rest = pixels.to("cuda"), (black.to("cuda"), one.to("cuda"))
    augment_views(there, rows, flips, *rest)  # Constants are brought there once.
    torch.cuda.set_sync_debug_mode("warn")
    try:
        got = augment_views(there, rows, flips, *rest)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(got.cpu(), expected, atol=1e-3, rtol=0)


@pytest.mark.gpu
def test_a_gpu_enlarges_as_the_cpu() -> None:
    maps = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(enlarge(maps.to("cuda"), (56, 60)).cpu(), enlarge(maps, (56, 60)), atol=1e-4, rtol=1e-4)
