"""Gradients on the class token's attention against autograd through timm's own, whole network."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from stages.core.config.networks import BackboneConfig
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.class_gradients import check_gradients, class_gradients
from tests.tiny_transformers import every_transformer, transformer


def differentiate_plainly(
    name: str, state: dict[str, torch.Tensor], images: torch.Tensor, vectors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Attention (B, heads, N, N) of timm's last block, unfused, and its gradients (K, B, heads, N, N)."""
    plain = timm.create_model(name, dynamic_img_size=True, dynamic_img_pad=True, num_classes=0).eval()
    plain.load_state_dict(state, strict=False)
    seen = {}
    attention = plain.blocks[-1].attn
    attention.fused_attn = False
    attention.attn_drop.register_forward_hook(lambda module, inputs, output: seen.update(shares=inputs[0]))
    tokens = plain.forward_features(images)[:, 0]
    gradients = [
        torch.autograd.grad(F.cosine_similarity(tokens, vector[None]).sum(), seen["shares"], retain_graph=True)[0]
        for vector in vectors
    ]
    return seen["shares"].detach(), torch.stack(gradients)


@every_transformer
def test_gradients_are_those_of_timms_network(name: str) -> None:
    network = transformer(name)
    images, vectors = torch.randn(2, 3, 60, 80), 3 * torch.randn(5, 24)
    got = class_gradients(network, images, vectors)
    shares, gradients = differentiate_plainly(name, network.state_dict(), images, vectors)
    prefix, grid = network.num_prefix_tokens, got.attention.shape[1:]
    expected = gradients.mean(2)[:, :, 0, prefix:].transpose(0, 1).reshape(2, 5, *grid)
    assert expected.abs().max() > 1e-3
    torch.testing.assert_close(got.gradients, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    torch.testing.assert_close(got.attention, shares.mean(1)[:, 0, prefix:].reshape(2, *grid), rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not got.gradients.requires_grad


def test_what_has_no_such_gradient_is_named() -> None:
    with pytest.raises(UserError, match="test_resnet has no class token"):
        check_gradients(build_backbone(BackboneConfig(name="test_resnet")))
    with pytest.raises(UserError, match="tiny_patch8_without_class_token has no class token"):
        check_gradients(transformer("tiny_patch8_without_class_token"))
    with pytest.raises(UserError, match=r"blocks \[0, -1\], tokens; gradients are those of the last block"):
        check_gradients(transformer("tiny_patch8", blocks=[0, -1]))
    check_gradients(transformer("tiny_patch8", blocks=[2]))
