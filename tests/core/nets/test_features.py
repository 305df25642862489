"""Networks of features: shapes, gradients, restoring, and the cost of LUSS's decoder."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import describe_parts
from stages.core.config.networks import BackboneConfig, DecoderConfig, DeepLabV3Config, DeepLabV3PlusConfig, FPNConfig
from stages.core.errors import UserError
from stages.core.nets.attention import PixelAttention
from stages.core.nets.backbones import build_backbone, stage_channels, stage_maps
from stages.core.nets.decoders import build_decoder
from stages.core.nets.features import FeatureNetwork, build_features, restore_features
from stages.core.nets.vice_decoder import ViCEDecoder
from tests.fabricate import backbone_card

BACKBONE = BackboneConfig(name="test_resnet", output_stride=8)
VICE = DeepLabV3PlusConfig(form="vice", channels=12, low_level=4, rates=(1, 2, 3))
DECODERS = [DeepLabV3PlusConfig(channels=12, low_level=4), VICE, DeepLabV3Config(channels=12), FPNConfig(channels=12)]


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_stage_maps_end_in_the_backbones_features(name: str) -> None:
    backbone = build_backbone(BackboneConfig(name=name)).eval()
    images = torch.randn(2, 3, 64, 96)
    maps = stage_maps(backbone, images)
    assert [each.shape[1] for each in maps] == stage_channels(backbone)
    assert [64 // each.shape[2] for each in maps] == [4, 8, 16, 32]
    torch.testing.assert_close(maps[-1], cast(Any, backbone).forward_features(images))


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda config: config.kind)
def test_decoders_give_one_map_and_gradients_reach_every_parameter(decoder: DecoderConfig) -> None:
    network = build_features(BACKBONE, decoder)
    features = network(torch.randn(2, 3, 64, 96))
    stride = 8 if decoder.kind == "deeplabv3" else 4
    assert features.shape == (2, network.size, 64 // stride, 96 // stride) == (2, 12, 64 // stride, 96 // stride)
    (features * torch.randn_like(features)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert network.decoder is not None
    assert all(p.grad.abs().sum() > 0 for p in network.decoder.parameters() if p.grad is not None)
    assert (network.feature_map, set(network.parts)) == ("decoder", {"backbone", "decoder"})


def card(network: FeatureNetwork, attention: PixelAttention | None = None) -> ModelCard:
    parts = describe_parts(network.parts | ({"attention": attention} if attention else {}))
    described = {"method": "drawn", "parts": parts, "feature_map": network.feature_map}
    return backbone_card().model_copy(update=described)


@pytest.mark.parametrize("decoder", [None, *DECODERS])
def test_a_network_comes_back_from_its_card_and_tensors(decoder: DecoderConfig | None) -> None:
    network = build_features(BACKBONE, decoder).eval()
    states = {part: module.state_dict() for part, module in network.parts.items()}
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(restore_features(card(network), states).eval()(images), network(images))
    shallow = restore_features(card(network), states, "stage4").eval()
    torch.testing.assert_close(shallow(images), network.backbone(images))


def test_attention_weighs_every_pixel_of_the_map_it_was_trained_on_and_no_other() -> None:
    decoder = FPNConfig(channels=12)
    network, attention = build_features(BACKBONE, decoder).eval(), PixelAttention(12)
    states = {part: module.state_dict() for part, module in {**network.parts, "attention": attention}.items()}
    model = card(network, attention)
    images = torch.randn(1, 3, 64, 64)
    features = network(images)[0]
    weights = torch.sigmoid(
        torch.einsum("d,dhw->hw", attention.conv.weight[0, :, 0, 0], features) + attention.conv.bias
    )
    attended = restore_features(model, states, is_attended=True).eval()
    torch.testing.assert_close(attended(images)[0], weights * features)
    assert set(attended.parts) == {"backbone", "decoder", "attention"}
    torch.testing.assert_close(restore_features(model, states).eval()(images)[0], features)
    shallow = restore_features(model, states, "stage4", is_attended=True).eval()
    torch.testing.assert_close(shallow(images), network.backbone(images))


def test_a_map_that_the_model_lacks_is_refused() -> None:
    network = build_features(BACKBONE, None)
    states = {part: module.state_dict() for part, module in network.parts.items()}
    with pytest.raises(UserError, match=r"feature_map: decoder, but the model of drawn has no decoder"):
        restore_features(card(network), states, "decoder")


@pytest.mark.parametrize(("name", "stride", "out", "giga"), [("resnet50", 16, 16, 9.44), ("resnet18", 32, 8, 3.03)])
def test_the_decoder_of_luss_costs_what_the_paper_says(name: str, stride: int, out: int, giga: float) -> None:
    """Multiply-adds at 224 pixels: LUSS states 9.5 G with ResNet-50, and 3.3 G with ResNet-18 and SEAM's heads."""
    rates = (6, 12, 18)
    decoder = DeepLabV3PlusConfig.model_validate({"output_stride": out, "rates": rates})
    backbone = BackboneConfig(name=name, output_stride=stride, zero_init_last=True)
    with torch.device("meta"):
        network = build_features(backbone, decoder).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.zeros(1, 3, 224, 224))
    assert counter.get_total_flops() / 2e9 == pytest.approx(giga, abs=0.06)


def test_the_pyramid_of_features_is_the_sum_of_the_enlarged_projections() -> None:
    torch.manual_seed(0)
    decoder = build_decoder(FPNConfig(channels=3), [2, 4])
    fine, coarse = torch.randn(1, 2, 8, 8), torch.randn(1, 4, 4, 4)
    first, second = decoder.lateral
    assert isinstance(first, nn.Conv2d)
    expected = first(fine) + F.interpolate(second(coarse), (8, 8), mode="bilinear")
    torch.testing.assert_close(decoder([fine, coarse]), expected)
    normed = build_decoder(FPNConfig(channels=3, last_norm=True), [2, 4])
    normed.lateral.load_state_dict(decoder.lateral.state_dict())
    deviation, mean = torch.std_mean(expected, (0, 2, 3), correction=0, keepdim=True)
    torch.testing.assert_close(normed([fine, coarse]), (expected - mean) / deviation, rtol=1e-3, atol=1e-3)


def test_vices_decoder_is_that_of_its_code() -> None:
    """Separable convolutions are convolution, ReLU, norm; the 3x3 projection may be negative; corners are aligned."""
    torch.manual_seed(0)
    decoder = build_decoder(VICE.model_copy(update={"embedding": 5}), [3, 6]).eval()
    assert isinstance(decoder, ViCEDecoder)
    fine, coarse = torch.randn(2, 3, 8, 12), torch.randn(2, 6, 4, 6)
    weights = {name: value for name, value in decoder.state_dict().items() if value.ndim == 4}

    def convolve(x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, weights[f"{name}.weight"], **options)

    def norm(x: Tensor) -> Tensor:
        return x / (1 + 1e-5) ** 0.5 + 1e-4

    def separate(x: Tensor, name: str, at: int, rate: int) -> Tensor:
        spatial = norm(convolve(x, f"{name}.{at}", padding=rate, dilation=rate, groups=x.shape[1]).relu())
        return norm(convolve(spatial, f"{name}.{at + 3}").relu())

    branches = [norm(convolve(coarse, "pyramid.branches.0.0")).relu()]
    branches += [separate(coarse, f"pyramid.branches.{rate}", 0, rate) for rate in (1, 2, 3)]
    branches += [norm(convolve(coarse.mean((2, 3), keepdim=True), "pyramid.pooled.0")).relu().expand(-1, -1, 4, 6)]
    deep = norm(convolve(torch.cat(branches, 1), "pyramid.project.0", padding=1))
    assert (deep < 0).any()
    deep = F.interpolate(deep, (8, 12), mode="bilinear", align_corners=True)
    joined = torch.cat([norm(convolve(fine, "low_level.0")).relu(), deep], 1)
    refined = separate(separate(joined, "refine", 0, 1), "refine", 6, 1)
    expected = F.conv2d(refined, weights["refine.12.weight"], decoder.state_dict()["refine.12.bias"])
    torch.testing.assert_close(decoder([fine, coarse]), expected)
