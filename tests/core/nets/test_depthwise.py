from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from stages.core.config.networks import DeepLabV3PlusConfig
from stages.core.nets.decoders import build_decoder
from stages.core.nets.depthwise import SmallDepthwiseConv2d, quicken_depthwise


def outcome(conv: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    maps = maps.clone().requires_grad_()
    conv.zero_grad()
    moved = conv(maps)
    (moved * torch.linspace(0, 1, moved.numel()).view_as(moved)).sum().backward()
    return moved.detach(), maps.grad, conv.weight.grad.clone()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (3, 5), (6, 6), (7, 9)])
@pytest.mark.parametrize(("kernel", "rate"), [(3, 1), (3, 2), (3, 3), (5, 2)])
def test_products_give_what_the_convolution_gives(size: tuple[int, int], kernel: int, rate: int) -> None:
    conv = nn.Conv2d(6, 6, kernel, padding=rate * (kernel // 2), dilation=rate, groups=6, bias=False)
    ours = copy.deepcopy(conv)
    quicken_depthwise(ours)
    assert isinstance(ours, SmallDepthwiseConv2d)
    maps = torch.randn(3, 6, *size)
    for found, expected in zip(outcome(ours, maps), outcome(conv, maps), strict=True):
        torch.testing.assert_close(found, expected)
    assert torch.equal(ours.eval()(maps), conv.eval()(maps)), "as torch has it where nothing is trained"


def test_only_what_it_can_do_is_taken_over() -> None:
    others = [
        nn.Conv2d(4, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=4),  # has a bias
        nn.Conv2d(4, 4, 3, groups=4, bias=False),  # makes maps smaller
        nn.Conv2d(4, 4, 3, 2, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False),
        nn.Conv2d(4, 4, (3, 1), padding=1, groups=4, bias=False),
    ]
    quicken_depthwise(nn.Sequential(*others))
    assert [type(each) for each in others] == [nn.Conv2d] * len(others)


def test_the_separable_pyramid_trains_by_products() -> None:
    decoder = build_decoder(
        DeepLabV3PlusConfig(channels=8, low_level=4, rates=(1, 2, 3), separable=True), [4, 4, 4, 12]
    )
    kinds = [type(layer) for layer in decoder.pyramid.modules() if isinstance(layer, nn.Conv2d) and layer.groups == 12]
    assert kinds == [SmallDepthwiseConv2d] * 3
