"""Networks' tensors as other code bases save them, written out by hand from their checkpoints' layouts."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

State = dict[str, torch.Tensor]


def under(prefix: str, state: State) -> State:
    return {prefix + key: value for key, value in state.items()}


def zeros(state: State) -> State:
    return {key: torch.zeros_like(value) for key, value in state.items()}


def respell(state: State, *pairs: tuple[str, str]) -> State:
    for old, new in pairs:
        state = {key.replace(old, new): value for key, value in state.items()}
    return state


def apart(state: State, spelled: str) -> State:
    """`attn.qkv` in three; `spelled` says where its X (query) or x (q) stands."""
    found: State = {}
    for key, value in state.items():
        start, joined, end = key.partition("attn.qkv.")
        if not joined:
            found[key] = value
            continue
        for name, part in zip(("query", "key", "value"), value.chunk(3), strict=True):
            found[start + spelled.replace("X", name).replace("x", name[0]) + end] = part
    return found


def dino(state: State) -> Any:
    head = {"head.mlp.0.weight": torch.ones(4, 24), "head.last_layer.weight_g": torch.ones(4)}
    student = under("module.", under("backbone.", zeros(state)) | zeros(head))
    args = argparse.Namespace(arch="vit_small", patch_size=8)
    centre = {"center": torch.zeros(1, 4)}
    optimizer = {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []}
    teacher = under("backbone.", state) | head
    return {
        "student": student,
        "teacher": teacher,
        "optimizer": optimizer,
        "dino_loss": centre,
        "args": args,
        "epoch": 3,
    }


def dinov2_training(state: State) -> Any:
    """Blocks in chunks, counted through."""
    chunks = {f"blocks.{number}.": f"blocks.{number // 2}.{number}." for number in range(3)}
    state = respell(state, *chunks.items())
    return {
        "teacher": under("backbone.", state | {"mask_token": torch.zeros(1, 24)})
        | {"dino_head.mlp.0.weight": torch.ones(2)}
    }


def dinov2_registers(state: State) -> Any:
    """The class token has a position of its own."""
    own = torch.randn(1, 1, 24)
    changed = {
        "cls_token": state["cls_token"] - own,
        "pos_embed": torch.cat([own, state["pos_embed"]], 1),
        "mask_token": torch.zeros(1, 24),
    }
    return respell(state | changed, ("reg_token", "register_tokens"))


def dinov3(state: State) -> Any:
    """Biases of keys are there and masked."""
    found = {"mask_token": torch.zeros(1, 24), "rope_embed.periods": torch.ones(3)}
    for key, value in state.items():
        if key.endswith("q_bias"):
            start = key.removesuffix("q_bias")
            keys = torch.ones_like(value)
            found[f"{start}qkv.bias"] = torch.cat([value, keys, state[f"{start}v_bias"]])
            found[f"{start}qkv.bias_mask"] = torch.cat([keys, 0 * keys, keys])
        elif not key.endswith("v_bias"):
            found[key] = value
    return respell(found, ("gamma_1", "ls1.gamma"), ("gamma_2", "ls2.gamma"), ("reg_token", "storage_tokens"))


def mae(state: State) -> Any:
    decoder = {
        "mask_token": torch.ones(1, 1, 8),
        "decoder_pos_embed": torch.ones(1, 17, 8),
        "decoder_pred.bias": torch.ones(2),
    }
    return {"model": state | decoder}


def moco_v3(state: State) -> Any:
    base = under("module.base_encoder.", state | {"head.0.weight": torch.ones(4, 24)})
    predictor = {"module.predictor.0.weight": torch.ones(4, 4)}
    return {"state_dict": under("module.momentum_encoder.", zeros(state)) | base | predictor}


_EMBEDDINGS = (
    ("cls_token", "embeddings.cls_token"),
    ("pos_embed", "embeddings.position_embeddings"),
    ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
)


def rename_last_norm(state: State) -> State:
    """The norm behind the last block, not those within blocks, as `layernorm`."""
    return {("layernorm." + key.removeprefix("norm.") if key.startswith("norm.") else key): state[key] for key in state}


def transformers_vit(state: State) -> Any:
    state = respell(
        apart(state, "attention.attention.X."),
        *_EMBEDDINGS,
        ("attn.proj", "attention.output.dense"),
        ("mlp.fc1", "intermediate.dense"),
        ("mlp.fc2", "output.dense"),
        ("norm1", "layernorm_before"),
        ("norm2", "layernorm_after"),
        ("blocks.", "encoder.layer."),
    )
    return under("vit.", rename_last_norm(state)) | {
        "vit.pooler.dense.weight": torch.ones(2, 2),
        "classifier.bias": torch.ones(7),
    }


def transformers_dinov2(state: State) -> Any:
    state = respell(
        apart(state, "attention.attention.X."),
        *_EMBEDDINGS,
        ("register_tokens", "embeddings.register_tokens"),
        ("attn.proj", "attention.output.dense"),
        ("ls1.gamma", "layer_scale1.lambda1"),
        ("ls2.gamma", "layer_scale2.lambda1"),
        ("blocks.", "encoder.layer."),
    )
    state["embeddings.mask_token"] = state.pop("mask_token", torch.zeros(1, 24))
    return rename_last_norm(state)


def transformers_dinov2_registers(state: State) -> Any:
    return transformers_dinov2(dinov2_registers(state))


def transformers_dinov3(state: State) -> Any:
    """Keys have no bias."""
    state = respell(
        apart(state, "attention.x_proj."),
        ("attn.q_bias", "attention.q_proj.bias"),
        ("attn.v_bias", "attention.v_proj.bias"),
        ("cls_token", "embeddings.cls_token"),
        ("reg_token", "embeddings.register_tokens"),
        ("patch_embed.proj", "embeddings.patch_embeddings"),
        ("attn.proj", "attention.o_proj"),
        ("gamma_1", "layer_scale1.lambda1"),
        ("gamma_2", "layer_scale2.lambda1"),
        ("mlp.fc1", "mlp.up_proj"),
        ("mlp.fc2", "mlp.down_proj"),
        ("blocks.", "layer."),
    )
    return state | {"embeddings.mask_token": torch.zeros(1, 1, 24)}


def lightly_vit(state: State) -> Any:
    """Lightning's checkpoint of a student and its teacher."""
    student = under("student_backbone.vit.", zeros(state))
    return {"state_dict": under("teacher_backbone.vit.", state) | student, "hyper_parameters": {}, "loops": {"a": {}}}


VISION_TRANSFORMERS: dict[str, tuple[str, Callable[[State], Any]]] = {
    "timm": ("tiny_patch14", dict),
    "DINO, iBOT": ("tiny_patch8", dino),
    "DINOv2 in chunks": ("tiny_patch14", dinov2_training),
    "DINOv2 with registers": ("tiny_patch14_reg4", dinov2_registers),
    "DINOv3": ("tiny_patch16_rope", dinov3),
    "MAE": ("tiny_patch8", mae),
    "MoCo v3": ("tiny_patch8", moco_v3),
    "transformers ViT": ("tiny_patch8", transformers_vit),
    "transformers Dinov2": ("tiny_patch14", transformers_dinov2),
    "transformers Dinov2WithRegisters": ("tiny_patch14_reg4", transformers_dinov2_registers),
    "transformers DINOv3ViT": ("tiny_patch16_rope", transformers_dinov3),
    "lightly": ("tiny_patch8", lightly_vit),
}


def swav(state: State) -> Any:
    heads = {"projection_head.0.weight": torch.ones(2, 2), "prototypes.weight": torch.ones(3, 2)}
    return {"state_dict": under("module.", state | heads), "amp": {}, "optimizer": {}}


def moco_v2(state: State) -> Any:
    keys = under("module.encoder_k.", zeros(state))
    return {"state_dict": keys | under("module.encoder_q.", state) | {"module.queue": torch.zeros(2, 2)}}


def solo_learn(state: State) -> Any:
    heads = {"projector.0.weight": torch.ones(2, 2), "classifier.weight": torch.ones(5, 2)}
    return {"state_dict": under("momentum_backbone.", zeros(state)) | under("backbone.", state) | heads}


def lightly_resnet(state: State) -> Any:
    """`nn.Sequential(*list(resnet.children())[:-1])`."""
    places = {"conv1.": "0.", "bn1.": "1."} | {f"layer{number}.": f"{number + 3}." for number in (1, 2, 3, 4)}
    row = {
        next(new + key.removeprefix(old) for old, new in places.items() if key.startswith(old)): value
        for key, value in state.items()
    }
    return {"state_dict": under("backbone_momentum.", zeros(row)) | under("backbone.", row)}


RESNETS: dict[str, Callable[[State], Any]] = {
    "SwAV": swav,
    "MoCo v2": moco_v2,
    "solo-learn": solo_learn,
    "lightly": lightly_resnet,
    "DINO": dino,
}
