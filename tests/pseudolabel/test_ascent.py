"""AdvCAM's steps on a linear classifier, whose gradient is written down by hand."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stages.pseudolabel.activation.ascent import Room, climb, room_of_pixels
from stages.pseudolabel.activation.config import AscentConfig, MapConfig
from stages.pseudolabel.activation.inference import activate
from tests.fabricate import EXPECTS

WEIGHT = torch.tensor([[1.0, -0.5, 0.25], [0.5, 0.5, 0.5]])


class _Linear(nn.Module):
    """Two maps, each a weighed sum of the channels."""

    views = EXPECTS

    def activate(self, images: Tensor) -> Tensor:
        return torch.einsum("cd,bdhw->bchw", WEIGHT, images)

    classify = activate


ANYWHERE = Room(torch.full((3, 1, 1), -9.0), torch.full((3, 1, 1), 9.0))


def climb_linear(
    images: Tensor, category: int, config: AscentConfig, steps: int, room: Room = ANYWHERE
) -> list[Tensor]:
    return list(islice(climb(_Linear(), images, category, config, room), steps + 1))


def test_a_step_goes_up_the_difference_of_the_category_and_the_others() -> None:
    images = torch.rand(1, 3, 4, 4) + 0.5
    before, after = climb_linear(images, 0, AscentConfig(restraint=0.0, step=0.1), 1)
    slope = 2 * WEIGHT[0] - WEIGHT.sum(0)  # every pixel alike: both maps are above 0 throughout
    expected = images + 0.1 * (slope / slope.abs().max())[None, :, None, None]
    torch.testing.assert_close(before, _Linear().activate(images)[0])
    torch.testing.assert_close(after, _Linear().activate(expected)[0])


def test_strong_places_are_held_back_once_they_have_changed() -> None:
    images = torch.full((1, 3, 1, 4), 0.4)
    images[..., :2] = 2.0  # strong
    free, held = (climb_linear(images, 0, AscentConfig(restraint=each), 6) for each in (0.0, 7.0))
    moved = [(maps[-1][0] - maps[0][0]).abs()[0] for maps in (free, held)]
    assert moved[1][:2].max() < 0.5 * moved[0][:2].min()


def test_each_step_is_the_slope_by_differences_of_what_is_wanted() -> None:
    """Three steps beside central differences of the sum that section 4 maximizes, pixel by pixel."""
    config, images = AscentConfig(restraint=0.7, step=0.1), (torch.rand(1, 3, 1, 3) + 0.3).double()
    weight = WEIGHT.double()
    found = climb_linear(images.float(), 0, config, 3)
    first, strong = (weight @ images[0, :, 0]).clamp_min(0)[0], torch.zeros(3, dtype=torch.bool)
    for after in found[1:]:
        now = (weight @ images[0, :, 0]).clamp_min(0)[0]
        strong = strong | (now > 0.5 * now.max())

        def wanted(pixels: Tensor, strong: Tensor = strong) -> float:
            maps = (weight @ pixels).clamp_min(0)
            change = sum(abs(float(maps[0, x] - first[x])) for x in range(3) if strong[x])
            return float(2 * maps[0].mean() - maps.mean(1).sum()) - config.restraint * change

        slope = torch.zeros(3, 3, dtype=torch.double)
        for channel, x in np.ndindex(3, 3):
            shift = torch.zeros(3, 3, dtype=torch.double)
            shift[channel, x] = 1e-6
            slope[channel, x] = (wanted(images[0, :, 0] + shift) - wanted(images[0, :, 0] - shift)) / 2e-6
        images = images + config.step * (slope / slope.abs().max())[None, :, None]
        torch.testing.assert_close(after[:, 0], (weight @ images[0, :, 0]).float(), atol=1e-4, rtol=1e-4)


def test_pixels_stay_within_the_range_of_photographs() -> None:
    room = room_of_pixels(EXPECTS.mean, EXPECTS.std, torch.device("cpu"))
    for value, end in ((0.0, room.least), (1.0, room.most)):
        pixels = end.flatten() * torch.tensor(EXPECTS.std) + torch.tensor(EXPECTS.mean)
        torch.testing.assert_close(pixels, torch.full((3,), value))
    images = room.most[None].expand(1, 3, 2, 2).clone()
    last = climb_linear(images, 1, AscentConfig(step=5.0), 3, room)[-1]
    assert last[1].max() <= (WEIGHT[1] @ room.most.flatten()) + 1e-5


@pytest.mark.parametrize(("scale", "steps"), [(0.5, 2), (1.0, 4)])
def test_maps_are_summed_over_the_steps_of_their_size(scale: float, steps: int) -> None:
    images = torch.rand(1, 3, 32, 32)
    ascent = AscentConfig(steps=4, small_steps=2, restraint=0.0)
    config = MapConfig(scales=(scale,), ascent=ascent)
    found = activate(_Linear(), images, torch.tensor([0]), config)
    size = (round(32 * scale), round(32 * scale))
    scaled = nn.functional.interpolate(images, size, mode="bilinear", align_corners=False)
    room = room_of_pixels(EXPECTS.mean, EXPECTS.std, torch.device("cpu"))
    summed = torch.stack([maps[0].relu() for maps in climb_linear(scaled, 0, ascent, steps, room)]).sum(0)
    full = nn.functional.interpolate(summed[None, None], (32, 32), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(torch.from_numpy(found), full / full.max())
