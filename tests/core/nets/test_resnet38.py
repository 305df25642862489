"""ResNet-38 beside its layers written out, and what timm's networks give that it gives too."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone, embedding_size, map_stride, stage_channels, stage_maps
from stages.core.nets.gray import see_gray

Layers = list[tuple[int, int, int, int]]
"""Channels, side, stride and dilation of each convolution of a block."""
AT_STRIDE_8: list[list[Layers]] = [
    [[(128, 3, 2, 1), (128, 3, 1, 1)]] + 2 * [[(128, 3, 1, 1), (128, 3, 1, 1)]],
    [[(256, 3, 2, 1), (256, 3, 1, 1)]] + 2 * [[(256, 3, 1, 1), (256, 3, 1, 1)]],
    [[(512, 3, 2, 1), (512, 3, 1, 1)]] + 5 * [[(512, 3, 1, 1), (512, 3, 1, 1)]],
    [[(512, 3, 1, 1), (1024, 3, 1, 2)]] + 2 * [[(512, 3, 1, 2), (1024, 3, 1, 2)]],
    [[(512, 1, 1, 1), (1024, 3, 1, 4), (2048, 1, 1, 1)]],
    [[(1024, 1, 1, 1), (2048, 3, 1, 4), (4096, 1, 1, 1)]],
]


def normalize(features: Tensor, tensors: Mapping[str, Tensor], norm: str) -> Tensor:
    mean, variance, weight, bias = (
        tensors[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.batch_norm(features, mean, variance, weight, bias).relu()


def run_layers(tensors: Mapping[str, Tensor], images: Tensor) -> Tensor:
    features = F.conv2d(images, tensors["first.weight"], padding=1)
    for stage, blocks in enumerate(AT_STRIDE_8):
        for block, layers in enumerate(blocks):
            name, found = f"stages.{stage}.{block}", features
            for number, (width, side, stride, rate) in enumerate(layers):
                found = normalize(found, tensors, f"{name}.norms.{number}")
                if number == 0 and block == 0:
                    features = F.conv2d(found, tensors[f"{name}.shortcut.weight"], stride=stride)
                weight = tensors[f"{name}.convolutions.{number}.weight"]
                assert weight.shape[0] == width
                found = F.conv2d(found, weight, stride=stride, padding=rate * (side // 2), dilation=rate)
            features = features + found
    return normalize(features, tensors, "norm")


def test_it_is_its_layers_at_stride_8() -> None:
    torch.manual_seed(0)
    backbone = build_backbone(BackboneConfig(name="resnet38", output_stride=8)).eval()
    for name, each in backbone.state_dict().items():
        if "norm" in name and each.ndim:
            each.uniform_(0.5, 1.5)
    images = torch.randn(1, 3, 32, 48)
    with torch.no_grad():
        found = backbone(images)
        torch.testing.assert_close(found, run_layers(dict(backbone.state_dict()), images), rtol=1e-3, atol=1e-3)
        assert found.std() > 0.01
        see_gray(backbone)
        gray = (
            torch.einsum("bchw,c->bhw", images, torch.tensor([0.229 * 0.299, 0.224 * 0.587, 0.225 * 0.114])) / 0.22561
        )
        in_gray = run_layers(dict(backbone.state_dict()), gray[:, None].expand(-1, 3, -1, -1))
        torch.testing.assert_close(backbone(images), in_gray, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_maps_have_the_stride_asked_for(stride: int) -> None:
    with torch.device("meta"):
        backbone = build_backbone(BackboneConfig.model_validate({"name": "resnet38", "output_stride": stride}))
        maps = stage_maps(backbone, torch.empty(2, 3, 64, 96))
    assert map_stride(backbone) == stride
    assert embedding_size(backbone) == 4096
    assert stage_channels(backbone) == [256, 512, 1024, 4096]
    strides = (4, 8, min(stride, 16), stride)
    expected = [(2, size, 64 // each, 96 // each) for size, each in zip(stage_channels(backbone), strides, strict=True)]
    assert [tuple(each.shape) for each in maps] == expected


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"drop_path": 0.1}, r"backbone\.drop_path: resnet38 has no paths to drop"),
        ({"transformer": TransformerConfig()}, r"backbone\.transformer: resnet38 is no vision transformer"),
    ],
)
def test_what_it_does_not_have_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        build_backbone(BackboneConfig.model_validate({"name": "resnet38", **values}))
