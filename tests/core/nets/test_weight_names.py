"""Checkpoints of other code bases become timm's tensors, each of them, and compute what they did."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
from torchvision.models import VisionTransformer

from stages.core.config.networks import BackboneConfig
from stages.core.config.weights import Branch, WeightsFile
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.weights import load_weights
from tests.core.nets.checkpoints import RESNETS, VISION_TRANSFORMERS, State, under
from tests.tiny_transformers import transformer


def saved(content: Any, branch: Branch | None = None, path: str = "weights.pth") -> WeightsFile:
    if path.endswith(".safetensors"):
        safetensors.torch.save_file({key: value.contiguous() for key, value in content.items()}, path)
    else:
        torch.save(content, path)
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return WeightsFile(path=path, sha256=digest, origin="self_supervised_elsewhere", branch=branch)


def check_loaded(name: str, file: WeightsFile, expected: State, tolerance: float = 0.0) -> None:
    network = build_backbone(BackboneConfig(name=name))
    load_weights(network, file)
    for key, value in network.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            torch.testing.assert_close(value, expected[key].float(), rtol=tolerance, atol=tolerance, msg=key)


@pytest.mark.parametrize("family", VISION_TRANSFORMERS)
def test_every_tensor_of_a_vision_transformer_arrives(family: str) -> None:
    name, spell = VISION_TRANSFORMERS[family]
    state = transformer(name).state_dict()
    check_loaded(name, saved(spell(dict(state))), state, tolerance=1e-6)


@pytest.mark.parametrize("family", RESNETS)
def test_every_tensor_of_a_resnet_arrives(family: str) -> None:
    torch.manual_seed(3)
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    check_loaded("resnet18", saved(RESNETS[family](dict(state))), state)


@pytest.mark.parametrize(("family", "usual"), [("DINO", "teacher"), ("MoCo v2", "student"), ("solo-learn", "student")])
def test_the_other_network_is_taken_where_it_is_asked_for(family: str, usual: str) -> None:
    state = timm.create_model("test_resnet", num_classes=0).state_dict()
    content = RESNETS[family](dict(state))
    check_loaded("test_resnet", saved(content, "teacher" if usual == "teacher" else "student"), state)
    nothing = {key: torch.zeros_like(value) for key, value in state.items()}
    check_loaded("test_resnet", saved(content, "student" if usual == "teacher" else "teacher"), nothing)


def test_torchvisions_transformer_computes_the_same() -> None:
    torch.manual_seed(4)
    theirs = VisionTransformer(image_size=56, patch_size=8, num_layers=3, num_heads=2, hidden_dim=24, mlp_dim=96).eval()
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    ours = build_backbone(BackboneConfig(name="tiny_patch8")).eval()
    load_weights(ours, saved(theirs.state_dict()))
    images = torch.randn(2, 3, 56, 56)
    with torch.no_grad():
        tokens = torch.cat([theirs.class_token.expand(2, -1, -1), theirs._process_input(images)], 1)
        expected = theirs.encoder(tokens)[:, 1:].transpose(1, 2)
        torch.testing.assert_close(ours(images).flatten(2), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_the_networks_own(kind: torch.dtype) -> None:
    state = {key: value.to(kind) for key, value in transformer("tiny_patch14").state_dict().items()}
    check_loaded("tiny_patch14", saved(state), state)
    check_loaded("tiny_patch14", saved(state, path="weights.safetensors"), state)


def refused(name: str, content: Any) -> str:
    with pytest.raises(UserError) as error:
        load_weights(build_backbone(BackboneConfig(name=name)), saved(content))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_weights_of_another_patch_width_or_depth_are_refused() -> None:
    small = transformer("tiny_patch8").state_dict()
    message = refused("tiny_patch14", small)
    assert message.startswith("weights.pth: does not fit tiny_patch14: 6 tensors missing (blocks.0.ls1.gamma, ")
    assert "2 tensors of another shape (pos_embed, patch_embed.proj.weight)" in message
    assert message.endswith("`luss weights weights.pth` says what it is")
    assert "tensors of another shape" in refused("test_vit", small)
    deeper = {key.replace("blocks.2.", "blocks.3."): value for key, value in small.items()} | small
    assert "12 tensors with no place in it (blocks.3.norm1.weight, " in refused("tiny_patch8", deeper)
    with_registers = small | {"reg_token": torch.zeros(1, 4, 24)}
    assert "1 tensors with no place in it (reg_token)" in refused("tiny_patch8", with_registers)


def test_a_deeper_resnet_is_not_taken_for_a_shallow_one() -> None:
    deep = timm.create_model("resnet34", num_classes=0).state_dict()
    assert "with no place in it (layer1.2.conv1.weight, " in refused("resnet18", deep)


def test_what_is_no_number_is_refused() -> None:
    state = transformer("tiny_patch8").state_dict()
    state["norm.weight"] = state["norm.weight"] * torch.nan
    assert refused("tiny_patch8", state) == (
        "weights.pth: norm.weight holds values that are no finite numbers; its training went wrong"
    )
    assert "holds no tensors" in refused("tiny_patch8", {"epoch": 3})
    assert "missing" in refused("tiny_patch8", under("head.", {"weight": torch.zeros(3, 24)}))
