"""Vision transformers against timm's own passes, attention and the interpolations of their authors, at any size."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from stages.core.config.networks import BackboneConfig, FPNConfig, Positions, TransformerConfig
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone, embedding_size, map_stride, stage_channels, stage_maps
from stages.core.nets.features import build_features
from stages.core.nets.positions import resize_positions
from stages.core.nets.transformers import ClassTokens, class_attention, class_token, run_transformer
from tests.tiny_transformers import every_transformer, transformer

close = torch.testing.assert_close
SIZES = [(56, 56), (64, 64), (70, 101)]


@every_transformer
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("norm", [True, False])
def test_tokens_of_blocks_are_timms(name: str, size: tuple[int, int], norm: bool) -> None:
    network = transformer(name, blocks=[0, -1], norm=norm)
    images = torch.randn(2, 3, *size)
    view = run_transformer(network, images)
    plain = timm.create_model(name, dynamic_img_size=True, dynamic_img_pad=True).eval()
    plain.load_state_dict(network.state_dict(), strict=False)
    options = {"indices": [0, 2], "norm": norm, "intermediates_only": True, "return_prefix_tokens": True}
    maps, prefixes = zip(*plain.forward_intermediates(images, **options), strict=True)
    patch = map_stride(network)
    assert view.features.shape == (2, 48, -(-size[0] // patch), -(-size[1] // patch))
    assert embedding_size(network) == 48
    close(view.features, torch.cat(maps, 1), rtol=1e-4, atol=1e-4)
    close(view.prefix, torch.cat(prefixes, 2), rtol=1e-4, atol=1e-4)
    close(network(images), view.features)
    close(class_token(network, view), view.prefix[:, 0])


def record_plainly(network: Any, images: torch.Tensor, block: int) -> tuple[torch.Tensor, torch.Tensor]:
    """What timm's own unfused attention computes: its projections (B, N, 3 D), and (B, heads, N, N)."""
    seen: dict[str, torch.Tensor] = {}
    network = copy.deepcopy(network)
    attention = network.blocks[block].attn
    attention.fused_attn = False
    attention.attn_drop.register_forward_hook(lambda module, inputs, output: seen.update(shares=inputs[0]))
    attention.register_forward_pre_hook(lambda module, inputs: seen.update(entering=inputs[0]))
    network.forward_intermediates(images)
    bias = attention.qkv.bias
    if bias is None:
        bias = torch.cat([attention.q_bias, torch.zeros_like(attention.q_bias), attention.v_bias])
    return seen["entering"] @ attention.qkv.weight.T + bias, seen["shares"]


@every_transformer
@pytest.mark.parametrize("number", [0, -2])
def test_projections_and_attention_of_a_block_are_timms(name: str, number: int) -> None:
    images = torch.randn(2, 3, 60, 80)
    networks = {
        facet: transformer(name, facet=facet, blocks=[number]) for facet in ("queries", "keys", "values", "tokens")
    }
    projected, shares = record_plainly(networks["keys"], images, number)
    prefix = networks["keys"].num_prefix_tokens
    for facet, expected in zip(("queries", "keys", "values"), projected.chunk(3, -1), strict=True):
        view = run_transformer(networks[facet], images, attention_block=number)
        close(view.features.flatten(2).transpose(1, 2), expected[:, prefix:], rtol=1e-4, atol=1e-4)
        close(view.prefix, expected[:, :prefix], rtol=1e-4, atol=1e-4)
        assert view.attention is not None
        assert view.attention.shape == (2, 2, prefix, *view.features.shape[2:])
        close(view.attention.flatten(3), shares[:, :, :prefix, prefix:], rtol=1e-4, atol=1e-5)
        close(class_attention(networks[facet], view), view.attention[:, :, 0])
    later = run_transformer(networks["tokens"], images, attention_block=-1).attention
    assert later is not None
    close(later.flatten(3), record_plainly(networks["tokens"], images, -1)[1][:, :, :prefix, prefix:])


def test_the_pass_ends_at_the_last_block_that_is_asked_for() -> None:
    network = transformer("tiny_patch14", blocks=[1])
    network.blocks[2].register_forward_pre_hook(lambda module, inputs: pytest.fail("the third block was run"))
    network(torch.randn(1, 3, 56, 56))


AUTHORS: dict[Positions, dict[str, Any]] = {
    "antialiased": {"antialias": True},
    "plain": {},
    "dino": {},
}


@pytest.mark.parametrize("how", AUTHORS)
@pytest.mark.parametrize("new", [(5, 7), (4, 4), (4, 9), (16, 12)])
def test_positions_are_interpolated_as_their_authors_do(how: Positions, new: tuple[int, int]) -> None:
    positions = torch.randn(1, 16, 6)
    grid = positions.reshape(1, 4, 4, 6).permute(0, 3, 1, 2)
    # DINO's vision_transformer.py: as scale factors, with 0.1 added, and untouched where nothing is to be resized.
    target = {"scale_factor": [(side + 0.1) / 4 for side in new]} if how == "dino" else {"size": new}
    expected = grid if new == (4, 4) else F.interpolate(grid, mode="bicubic", **target, **AUTHORS[how])
    assert expected.shape[2:] == new
    close(resize_positions(positions, (4, 4), new, how), expected.permute(0, 2, 3, 1).flatten(1, 2))


def test_positions_of_a_backbone_follow_its_config_and_learn() -> None:
    images = torch.randn(1, 3, 84, 70)
    maps = {how: transformer("tiny_patch8", positions=how)(images) for how in AUTHORS}
    assert not any(torch.allclose(maps[one], maps[other]) for one in maps for other in maps if one < other)
    # A matrix that inference has made serves a training too.
    with torch.inference_mode():
        transformer("tiny_patch8")(torch.randn(1, 3, 32, 40))
    network = transformer("tiny_patch8")
    network(torch.randn(1, 3, 32, 40)).square().sum().backward()
    assert network.pos_embed.grad.abs().sum() > 0


def test_positions_can_be_laid_out_for_another_size() -> None:
    assert transformer("tiny_patch14", image_size=42).pos_embed.shape == (1, 1 + 9, 24)
    with pytest.raises(UserError, match=r"image_size = 50: not a multiple of the patches of tiny_patch14, 14 pixels"):
        transformer("tiny_patch14", image_size=50)


@every_transformer
def test_parameters_carry_timms_names_and_a_copy_is_its_own(name: str) -> None:
    network = transformer(name)
    timm.create_model(name, num_classes=0).load_state_dict(network.state_dict())
    copied, images = copy.deepcopy(network), torch.randn(1, 3, 56, 56)
    with torch.no_grad():
        copied.patch_embed.proj.weight.mul_(2)
    assert not torch.allclose(copied(images), network(images))


@every_transformer
def test_first_weights_have_the_deviation_that_is_asked_for(name: str) -> None:
    config = TransformerConfig(init_gain=1.5)
    network = build_backbone(BackboneConfig(name=name, transformer=config))
    layers = [layer for block in network.blocks for layer in block.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 4 * len(network.blocks)
    for layer in layers:
        assert layer.weight.std().item() == pytest.approx(1.5 * layer.in_features**-0.5, rel=0.1)
    plain = build_backbone(BackboneConfig(name=name)).blocks[0].mlp.fc1
    assert plain.weight.std().item() == pytest.approx(0.02, rel=0.1)


def test_a_decoder_gets_four_depths() -> None:
    network = transformer("tiny_patch14_reg4", blocks=[1, 2])
    images = torch.randn(2, 3, 56, 70)
    maps = stage_maps(network, images)
    assert [each.shape[1] for each in maps] == stage_channels(network) == [24, 24, 24, 48]
    assert {each.shape[2:] for each in maps} == {(4, 5)}
    close(maps[-1], network(images))
    config = BackboneConfig(name="tiny_patch14")
    assert build_features(config, FPNConfig(channels=5))(images).shape == (2, 5, 4, 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"blocks": [3]}, r"backbone.transformer.blocks: block 3, but tiny_patch14 has blocks 0 to 2 \(or -1 to -3\)"),
        ({"blocks": [-4]}, r"backbone.transformer.blocks: block -4, but tiny_patch14 has blocks 0 to 2"),
    ],
)
def test_blocks_that_are_not_there_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        transformer("tiny_patch14", **values)
    with pytest.raises(UserError, match="attention: block 7, but tiny_patch14 has blocks 0 to 2"):
        run_transformer(transformer("tiny_patch14"), torch.zeros(1, 3, 56, 56), 7)


def test_what_a_network_lacks_is_named() -> None:
    with pytest.raises(UserError, match=r"backbone.transformer: test_resnet is no vision transformer"):
        transformer("test_resnet")
    with pytest.raises(UserError, match="test_resnet has no class token; only vision transformers have"):
        ClassTokens(build_backbone(BackboneConfig(name="test_resnet")))
    without = transformer("tiny_patch8_without_class_token")
    with pytest.raises(UserError, match="tiny_patch8_without_class_token has no class token; take its patches' feat"):
        ClassTokens(without)
    with pytest.raises(UserError, match="attention: tiny_patch8_without_class_token has neither class token nor regis"):
        run_transformer(without, torch.zeros(1, 3, 56, 56), 0)
