"""Backbones by name: maps at the stride asked for, timm's own names, and what a wrong name says."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.config.networks import BackboneConfig
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone, embedding_size, map_stride, stage_channels, stage_maps
from tests.fabricate import backbone_card


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_the_last_map_has_the_stride_asked_for(stride: int) -> None:
    backbone = build_backbone(BackboneConfig(name="test_resnet", output_stride=stride)).eval()
    features = backbone(torch.zeros(2, 3, 64, 96))
    assert features.shape == (2, embedding_size(backbone), 64 // stride, 96 // stride)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_byobnet", "test_nfnet"])
def test_the_weights_fit_plain_timm(name: str) -> None:
    backbone = build_backbone(BackboneConfig(name=name)).eval()
    plain = timm.create_model(name, num_classes=0, global_pool="").eval()
    plain.load_state_dict(backbone.state_dict())
    images = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(plain(images), backbone(images))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "test_resnet", "test_byobnet", "regnety_002"])
def test_residual_blocks_start_with_their_branches_as_the_authors_networks_do(name: str) -> None:
    """Timm's start, the last norm of every block at 0, is had by asking; all else is the same in both."""
    plain, own, asked = timm.create_model(name, num_classes=0), {}, {}
    for zero, parameters in ((False, own), (True, asked)):
        torch.manual_seed(0)
        parameters.update(build_backbone(BackboneConfig(name=name, zero_init_last=zero)).named_parameters())
    zeros = {key for key, value in plain.named_parameters() if key.endswith("weight") and not value.any()}
    assert zeros == {key for key, value in asked.items() if key.endswith("weight") and not value.any()}
    assert zeros
    assert all((own[key] == 1).all() for key in zeros)
    assert all(torch.equal(own[key], asked[key]) for key in own.keys() - zeros)


def test_torchvisions_start_is_the_default() -> None:
    torchvision = pytest.importorskip("torchvision.models")
    norms = {key: value for key, value in torchvision.resnet18().named_parameters() if ".bn" in key}
    own = dict(build_backbone(BackboneConfig(name="resnet18")).named_parameters())
    assert all(torch.equal(own[key], value) for key, value in norms.items())


@pytest.mark.parametrize(("name", "close"), [("resnet-18", "resnet18"), ("test_resent", "test_resnet")])
def test_an_unknown_name_is_told_close_ones(name: str, close: str) -> None:
    with pytest.raises(
        UserError, match=rf"backbone.name = '{name}': timm has no such network; close names: .*\b{close}"
    ):
        build_backbone(BackboneConfig(name=name))


@pytest.mark.parametrize("name", ["test_mambaout", "resnet18.no_such_weights"])
def test_a_network_that_gives_no_map_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=f"backbone {name} cannot be built at output stride 32"):
        build_backbone(BackboneConfig(name=name))


@pytest.mark.parametrize("name", ["test_vit", "test_vit2", "test_vit3", "vit_tiny_patch16_dinov3_qkvb"])
def test_a_vision_transformer_gives_a_map_of_its_patches(name: str) -> None:
    backbone = build_backbone(BackboneConfig(name=name)).eval()
    images = torch.randn(2, 3, 64, 96)
    expected = backbone.forward_intermediates(images, indices=1, norm=True, intermediates_only=True)[-1]
    assert expected.shape == (2, embedding_size(backbone), 4, 6)
    torch.testing.assert_close(backbone(images), expected)
    assert backbone(torch.zeros(1, 3, 40, 50)).shape[2:] == (3, 4)
    plain = timm.create_model(name, num_classes=0, global_pool="")
    plain.load_state_dict(copy.deepcopy(backbone).state_dict())


@pytest.mark.parametrize("stride", [None, 8, 32])
def test_the_stride_of_a_vision_transformer_is_its_patch(stride: int | None) -> None:
    config = BackboneConfig.model_validate({"name": "test_vit", "output_stride": stride})
    assert map_stride(build_backbone(config)) == 16
    assert map_stride(build_backbone(config.model_copy(update={"name": "test_resnet"}))) == (stride or 32)


def test_a_backbone_comes_back_from_its_card() -> None:
    backbone = build_backbone(BackboneConfig(name="test_resnet"))
    restored = build_backbone(backbone_card().parts.backbone)
    restored.load_state_dict(backbone.state_dict())
    images = torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(restored.eval()(images), backbone.eval()(images))


@pytest.mark.parametrize(("name", "wide"), [("resnet18", ["conv1", "conv2"]), ("resnet50", ["conv2"])])
def test_first_blocks_are_dilated_as_the_others_where_that_is_asked_for(name: str, wide: list[str]) -> None:
    with torch.device("meta"):
        asked = build_backbone(
            BackboneConfig(name=name, output_stride=8, zero_init_last=True, dilated_first_blocks=True)
        )
        plain = build_backbone(BackboneConfig(name=name, output_stride=8, zero_init_last=True))
        shapes = [network(torch.zeros(1, 3, 64, 64)).shape for network in (asked, plain)]
    assert shapes[0] == shapes[1]
    for stage, rate in ((2, 1), (3, 2), (4, 4)):
        for block in getattr(asked, f"layer{stage}"):
            assert {getattr(block, layer).dilation for layer in wide} == {(rate, rate)}
    assert plain.layer4[0].conv2.dilation != plain.layer4[1].conv2.dilation or name == "resnet18"


def test_only_resnets_have_first_blocks_to_dilate() -> None:
    with pytest.raises(UserError, match="dilated_first_blocks: test_convnext is no ResNet; set it to false"):
        build_backbone(BackboneConfig(name="test_convnext", dilated_first_blocks=True))


def run_vgg(tensors: dict[str, Tensor], images: Tensor, pools: list[tuple[int, int]]) -> Tensor:
    """VGG11 layer by layer; kernel and stride of each pool, and dilated behind those of stride 1."""
    rate, waiting = 1, list(pools)
    for number in (0, 3, 6, 8, 11, 13, 16, 18):  # where the convolutions stand
        weight, bias = tensors[f"features.{number}.weight"], tensors[f"features.{number}.bias"]
        images = F.conv2d(images, weight, bias, padding=rate, dilation=rate).relu()
        if number in (0, 3, 8, 13, 18):
            kernel, stride = waiting.pop(0)
            images = F.max_pool2d(images, kernel, stride, padding=kernel // 2 if stride == 1 else 0)
            rate *= 2 if stride == 1 else 1
    return images


@pytest.mark.parametrize(("stride", "kept"), [(32, 0), (16, 1), (8, 2)])
def test_pools_of_a_vgg_beyond_the_stride_keep_their_resolution(stride: int, kept: int) -> None:
    backbone = build_backbone(BackboneConfig.model_validate({"name": "vgg11", "output_stride": stride})).eval()
    images = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        found, maps = backbone(images), stage_maps(backbone, images)
    expected = run_vgg(dict(backbone.state_dict()), images, [(2, 2)] * (5 - kept) + [(3, 1)] * kept)
    torch.testing.assert_close(found, expected)
    assert found.shape == (1, embedding_size(backbone), 64 // stride, 96 // stride)
    assert [each.shape[1] for each in maps] == stage_channels(backbone)


def test_a_vgg_has_the_convolutions_of_torchvisions_and_no_paths_to_drop() -> None:
    convolutions = build_backbone(BackboneConfig(name="vgg16", output_stride=8))
    assert sum(each.numel() for each in convolutions.parameters()) == 14_714_688, "vgg16.features of torchvision"
    with pytest.raises(UserError, match=r"backbone\.drop_path: vgg16 has no paths to drop; set it to 0"):
        build_backbone(BackboneConfig(name="vgg16", drop_path=0.1))
