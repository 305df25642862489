"""Networks that see photographs in gray: by every way through them, by their card, and never with weights given."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.config.views import IMAGENET_MEAN, IMAGENET_STD
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone, embed_images, stage_maps

NAMES = ("test_vit", "vit_tiny_patch16_dinov3_qkvb", "test_resnet", "resnet18", "test_convnext", "vgg11")


def build(name: str, **values: Any) -> nn.Module:
    torch.manual_seed(0)
    return build_backbone(BackboneConfig(name=name, **values)).eval()


def normalize(pixels: Tensor) -> Tensor:
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pixels - mean) / std


def in_color_and_gray() -> tuple[Tensor, Tensor]:
    """A batch of one, of no whole number of patches."""
    pixels = torch.rand(1, 3, 66, 97, generator=torch.Generator().manual_seed(0))
    red, green, blue = pixels.split(1, dim=1)
    return normalize(pixels), normalize((0.299 * red + 0.587 * green + 0.114 * blue).expand(-1, 3, -1, -1))


def outputs(network: nn.Module, images: Tensor) -> list[Tensor]:
    with torch.no_grad():
        return [network(images), embed_images(network, images), *stage_maps(network, images)]


def differ(one: list[Tensor], other: list[Tensor]) -> list[float]:
    """Of each output, by how much of its own deviation."""
    return [float((a - b).norm() / (a - a.mean()).norm()) for a, b in zip(one, other, strict=True)]


@pytest.mark.parametrize("name", NAMES)
def test_a_photograph_and_its_gray_version_are_the_same_to_it(name: str) -> None:
    color, gray = in_color_and_gray()
    network, plain = build(name, gray=True), build(name)
    assert max(differ(outputs(network, color), outputs(network, gray))) < 1e-4
    assert max(differ(outputs(plain, color), outputs(plain, gray))) > 0.05


def test_a_copy_and_what_its_card_and_state_restore_see_gray_too() -> None:
    color, _ = in_color_and_gray()
    network = build("test_resnet", gray=True)
    card = BackboneConfig.model_validate_json(network.card.model_dump_json())
    restored = build_backbone(card).eval()
    restored.load_state_dict(network.state_dict())
    for other in (restored, copy.deepcopy(network)):
        torch.testing.assert_close(outputs(other, color), outputs(network, color))
    assert network.state_dict().keys() == build("test_resnet").state_dict().keys()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gray": True}, "backbone.gray: the weights are given, and learnt in color; set it to false"),
        (
            {"transformer": TransformerConfig(init_gain=1.0)},
            "backbone.transformer.init_gain: the weights are given; set it to null",
        ),
    ],
)
def test_what_random_weights_alone_have_is_refused_with_given_ones(values: dict[str, Any], message: str) -> None:
    weights = WeightsFile(path="none.safetensors", sha256="0" * 64, origin="self_supervised_split")
    with pytest.raises(UserError, match=message):
        build_backbone(BackboneConfig(name="test_vit", **values), weights)
