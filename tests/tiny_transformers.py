"""Vision transformers small enough for tests, in timm's registry: importing this module puts them there."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from timm.models import register_model
from timm.models.eva import Eva
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.nets.backbones import build_backbone

SMALL: dict[str, Any] = {"img_size": 56, "embed_dim": 24, "depth": 3, "num_heads": 2}


def _own(**options: Any) -> dict[str, Any]:
    """Without what timm adds for files of weights."""
    return {key: value for key, value in {**SMALL, **options}.items() if not key.startswith(("pretrained", "cache"))}


def _plain(**options: Any) -> VisionTransformer:
    return VisionTransformer(**_own(**options))


@register_model
def tiny_patch8(pretrained: bool = False, **options: Any) -> VisionTransformer:
    return _plain(patch_size=8, **options)


@register_model
def tiny_patch14(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """As DINOv2: with layer scale."""
    return _plain(patch_size=14, init_values=1e-5, **options)


@register_model
def tiny_patch14_reg4(pretrained: bool = False, **options: Any) -> VisionTransformer:
    """As DINOv2 with registers, as timm lays it out: neither they nor the class token have a position."""
    return _plain(patch_size=14, init_values=1e-5, reg_tokens=4, no_embed_class=True, **options)


@register_model
def tiny_patch8_without_class_token(pretrained: bool = False, **options: Any) -> VisionTransformer:
    return _plain(patch_size=8, class_token=False, **options)


@register_model
def tiny_patch16_rope(pretrained: bool = False, **options: Any) -> Eva:
    """As DINOv3 with biases."""
    own = {
        "patch_size": 16,
        "init_values": 1e-5,
        "rope_type": "dinov3",
        "rope_temperature": 100,
        "rope_rotate_half": True,
        "use_rot_pos_emb": True,
        "use_abs_pos_emb": False,
        "num_reg_tokens": 4,
        "use_fc_norm": False,
        "norm_layer": partial(nn.LayerNorm, eps=1e-5),
    }
    return Eva(**_own(**own, **options))


def transformer(name: str, **values: Any) -> Any:
    """One with weights far from those it starts with, so that every part of it shows."""
    config = BackboneConfig(name=name, transformer=TransformerConfig.model_validate(values))
    network = build_backbone(config).eval()
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator) + (parameter.ndim == 1))
    return network


NAMES = ("tiny_patch8", "tiny_patch14", "tiny_patch14_reg4", "tiny_patch16_rope")

every_transformer = pytest.mark.parametrize("name", NAMES)
