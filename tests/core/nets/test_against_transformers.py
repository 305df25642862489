"""Hugging Face's own networks, saved by `save_pretrained` and read here, compute the same at any size."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import torch

from stages.core.config.networks import BackboneConfig, TransformerConfig
from stages.core.config.weights import WeightsFile
from stages.core.nets.backbones import build_backbone
from stages.core.nets.transformers import run_transformer
from tests import tiny_transformers

assert tiny_transformers.NAMES
hugging = pytest.importorskip(
    "transformers", reason="the network is compared with transformers' own where it is installed"
)

SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 96,
    "attn_implementation": "eager",
}
THEIRS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "tiny_patch8": (hugging.ViTModel, hugging.ViTConfig, {"image_size": 56, "patch_size": 8}),
    "tiny_patch14": (hugging.Dinov2Model, hugging.Dinov2Config, {"image_size": 56, "patch_size": 14}),
    "tiny_patch14_reg4": (
        hugging.Dinov2WithRegistersModel,
        hugging.Dinov2WithRegistersConfig,
        {"image_size": 56, "patch_size": 14, "num_register_tokens": 4},
    ),
    "tiny_patch16_rope": (
        hugging.DINOv3ViTModel,
        hugging.DINOv3ViTConfig,
        {"image_size": 64, "patch_size": 16, "num_register_tokens": 4},
    ),
}


def build_theirs(name: str) -> Any:
    model, config, values = THEIRS[name]
    theirs = model(config(**SMALL, **values)).eval()
    torch.manual_seed(5)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    theirs.save_pretrained("theirs")
    return theirs


def read_ours(name: str, **values: Any) -> torch.nn.Module:
    path = "theirs/model.safetensors"
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    positions = "antialiased" if name.endswith("reg4") else "plain"
    config = BackboneConfig(name=name, transformer=TransformerConfig.model_validate({"positions": positions, **values}))
    return build_backbone(config, WeightsFile(path=path, sha256=digest, origin="self_supervised_elsewhere")).eval()


@pytest.mark.parametrize("name", THEIRS)
@pytest.mark.parametrize("patches", [(4, 4), (3, 7)])
def test_tokens_keys_and_attention_are_theirs(name: str, patches: tuple[int, int]) -> None:
    theirs = build_theirs(name)
    patch = THEIRS[name][2]["patch_size"]
    images = torch.randn(2, 3, *(count * patch for count in patches))
    options = {} if "rope" in name or "14" in name else {"interpolate_pos_encoding": True}
    layers = [module for key, module in theirs.named_modules() if key.endswith(".1") and hasattr(module, "attention")]
    seen: dict[str, torch.Tensor] = {}
    keys = next(module for key, module in layers[0].named_modules() if key.endswith(("key", "k_proj")))
    keys.register_forward_hook(lambda module, inputs, output: seen.update(keys=output))
    with torch.no_grad():
        found = theirs(images, output_attentions=True, output_hidden_states=True, **options)
        last = run_transformer(read_ours(name), images)
        early = run_transformer(read_ours(name, blocks=[1], norm=False), images)
        inner = run_transformer(read_ours(name, blocks=[1], facet="keys"), images, attention_block=1)

    def check(view: Any, expected: torch.Tensor) -> None:
        joined = torch.cat([view.prefix, view.features.flatten(2).transpose(1, 2)], 1)
        torch.testing.assert_close(joined, expected, rtol=1e-4, atol=1e-4)

    check(last, found.last_hidden_state)
    check(early, found.hidden_states[2])
    check(inner, seen["keys"])
    prefix = inner.prefix.shape[1]
    expected = found.attentions[1][:, :, :prefix, prefix:]
    torch.testing.assert_close(inner.attention.flatten(3), expected, rtol=1e-4, atol=1e-4)
