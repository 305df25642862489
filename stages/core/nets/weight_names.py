"""Renames the tensors of other code bases (DINO, MAE, MoCo, transformers and more) to timm's names.

A naming is a row of `NAMINGS`: what tells its files, and the patterns that rename them. Wrappers around the network
(`module.`, `backbone.`, `teacher.`) are the same everywhere and are taken off before.
"""

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from stages.core.config.networks import Positions
from stages.core.config.weights import Branch

_WRAPPERS = frozenset(
    {
        *("state_dict", "model", "module", "net", "network", "backbone", "encoder", "trunk", "vit"),
        *("student", "teacher", "student_backbone", "teacher_backbone", "model_ema"),
        *("encoder_q", "encoder_k", "base_encoder", "momentum_encoder", "online_network", "target_network"),
        *("momentum_backbone", "backbone_momentum"),
        *("dinov2", "dinov2_with_registers", "dinov3_vit", "vit_mae", "vit_msn"),
    }
)

_BRANCHES: tuple[tuple[str, str, Branch], ...] = (
    ("student", "teacher", "teacher"),  # DINO, iBOT, DINOv2, DINOv3
    ("student_backbone", "teacher_backbone", "teacher"),  # lightly's DINO
    ("encoder_q", "encoder_k", "student"),  # MoCo
    ("base_encoder", "momentum_encoder", "student"),  # MoCo v3
    ("backbone", "momentum_backbone", "student"),  # solo-learn
    ("backbone", "backbone_momentum", "student"),  # lightly
    ("model", "model_ema", "student"),
    ("online_network", "target_network", "student"),
)
"""Wrappers of a network that learns and of its moving average, and which of both its authors take."""


class Naming(NamedTuple):
    """The names of one code base."""

    name: str
    mark: str
    """Pattern that a name in its files matches, wrappers taken off, and no name in files of those below it."""
    rules: tuple[tuple[str, str], ...]
    """Patterns and what they become, applied to every name in this order; `-` drops the tensor."""
    positions: Positions
    """How its code interpolates position embeddings."""


_BLOCK = r"^(?:layers?|blocks)\.(\d+)\."

NAMINGS = (
    Naming(
        "transformers",
        r"embeddings\.patch_embeddings\.",
        (
            (r"^embeddings\.(mask_token|rope.*)$|^pooler\.", "-"),
            (r"^embeddings\.cls_token$", "cls_token"),
            (r"^embeddings\.register_tokens$", "reg_token"),
            (r"^embeddings\.position_embeddings$", "pos_embed"),
            (r"^embeddings\.patch_embeddings\.(?:projection\.)?", "patch_embed.proj."),
            (_BLOCK, r"blocks.\1."),
            (r"\.attention\.(?:attention\.)?(query|key|value)\.", r".attn.\1."),
            (r"\.attention\.(?:output\.dense|o_proj)\.", ".attn.proj."),
            (r"\.attention\.([qkv])_proj\.", r".attn.\1."),
            (r"\.attn\.([qkv])(?:uery|ey|alue)?\.", r".attn.\1_proj."),
            (r"\.(?:layernorm_before|norm1)\.", ".norm1."),
            (r"\.(?:layernorm_after|norm2)\.", ".norm2."),
            (r"\.layer_scale([12])\.lambda1$", r".ls\1.gamma"),
            (r"\.(?:intermediate\.dense|mlp\.weights_in)\.", ".mlp.fc1."),
            (r"^(blocks\.\d+)\.(?:output\.dense|mlp\.weights_out|mlp\.down_proj)\.", r"\1.mlp.fc2."),
            (r"\.mlp\.gate_proj\.", ".mlp.fc1_g."),
            (r"\.mlp\.up_proj\.", ".mlp.fc1_x."),
            (r"^layernorm\.", "norm."),
        ),
        "plain",
    ),
    Naming(
        "torchvision",
        r"conv_proj\.weight",
        (
            (r"^class_token$", "cls_token"),
            (r"^pos_embedding$", "pos_embed"),
            (r"^conv_proj\.", "patch_embed.proj."),
            (r"^layers\.encoder_layer_(\d+)\.", r"blocks.\1."),
            (r"\.ln_([12])\.", r".norm\1."),
            (r"\.self_attention\.in_proj_", ".attn.qkv."),
            (r"\.self_attention\.out_proj\.", ".attn.proj."),
            (r"\.mlp\.(?:0|linear_1)\.", ".mlp.fc1."),
            (r"\.mlp\.(?:3|linear_2)\.", ".mlp.fc2."),
            (r"^ln\.", "norm."),
        ),
        "plain",
    ),
    Naming("MAE", r"decoder_pos_embed$", ((r"^mask_token$", "-"),), "plain"),
    Naming(
        "DINOv2, DINOv3",
        r"(mask_token$|storage_tokens$|register_tokens$|blocks\.\d+\.\d+\.)",
        (
            (r"mask_token$|^rope_embed\.|^local_cls_norm", "-"),
            (r"^blocks\.\d+\.(\d+)\.", r"blocks.\1."),  # in chunks, as they are trained
            (r"^(?:register|storage)_tokens$", "reg_token"),
            (r"\.mlp\.w12\.", ".mlp.fc1."),
            (r"\.mlp\.w1\.", ".mlp.fc1_g."),
            (r"\.mlp\.w2\.", ".mlp.fc1_x."),
            (r"\.mlp\.w3\.", ".mlp.fc2."),
        ),
        "dino",
    ),
    Naming(
        "a ResNet in a row, as lightly cuts it",
        r"4\.0\.conv1\.weight",
        (
            (r"^0\.", "conv1."),
            (r"^1\.", "bn1."),
            (r"^([4-7])\.", r"layer\1."),
            *((rf"^layer{number}\.", f"layer{number - 3}.") for number in (4, 5, 6, 7)),
        ),
        "antialiased",
    ),
    Naming("timm, torchvision", "", (), "antialiased"),
)
"""The last one takes whatever the others do not know."""


class NamedWeights(NamedTuple):
    """A file's tensors under timm's names."""

    naming: Naming
    wrappers: frozenset[str]
    """What was taken off the names."""
    branches: tuple[str, ...]
    """Wrappers of the networks that the file holds, where it holds one that learns and its moving average; first the
    one that was taken."""
    tensors: dict[str, Tensor]


def name_as_timm(
    tensors: Mapping[str, Tensor], branch: Branch | None = None, wanted: Collection[str] = ()
) -> NamedWeights:
    """Take wrappers off, choose one network where the file holds two, and rename its tensors.

    Args:
        tensors: As `read_tensors` gives them.
        branch: Of a file with a network that learns and its moving average: `student` or `teacher`; None for the one
            that its authors take.
        wanted: Names that need no change, whatever they look like.
    """
    split = {key: _split(key, wanted) for key in tensors}
    wrappers = frozenset(part for parts, _ in split.values() for part in parts)
    taken, dropped = _choose(wrappers, branch)
    short: dict[str, Tensor] = {}
    for key, (parts, name) in split.items():
        if not dropped & set(parts):
            short.setdefault(name, tensors[key])
    naming = next(each for each in NAMINGS if any(re.match(each.mark, name) for name in short) or not each.mark)
    renamed = {new: value for name, value in short.items() if (new := _rename(name, naming, wanted)) != "-"}
    return NamedWeights(naming, wrappers, (*taken, *sorted(dropped)), _join(renamed))


def _split(key: str, wanted: Collection[str]) -> tuple[list[str], str]:
    """The wrappers at the beginning of a name, and what is left of it."""
    parts, name = [], key
    while name not in wanted and (first := name.partition(".")[0]) in _WRAPPERS and "." in name:
        parts.append(first)
        name = name.partition(".")[2]
    return parts, name


def _choose(wrappers: frozenset[str], branch: Branch | None) -> tuple[tuple[str, ...], set[str]]:
    """Wrappers of the network that is taken, and of those that are not."""
    for student, teacher, usual in _BRANCHES:
        if {student, teacher} <= wrappers:
            taken, dropped = (student, teacher) if (branch or usual) == "student" else (teacher, student)
            return (taken,), {dropped}
    return (), set()


def _rename(name: str, naming: Naming, wanted: Collection[str]) -> str:
    if name in wanted:
        return name
    for pattern, new in naming.rules:
        if new == "-":
            if re.search(pattern, name):
                return new
        else:
            name = re.sub(pattern, new, name)
    return name


def _join(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values that are layers of their own become one; a layer whose gate is missing has none."""
    joined = dict(tensors)
    for key in tensors:
        if key.endswith(".attn.qkv.bias_mask"):  # DINOv3: keys have no bias
            joined[key.removesuffix("_mask")] = tensors[key.removesuffix("_mask")] * joined.pop(key)
        if key.endswith(".attn.q_proj.weight"):
            start = key.removesuffix("q_proj.weight")
            joined[f"{start}qkv.weight"] = torch.cat([joined.pop(f"{start}{one}_proj.weight") for one in "qkv"])
            biases = [joined.pop(f"{start}{one}_proj.bias", None) for one in "qkv"]
            given = next((bias for bias in biases if bias is not None), None)
            if given is not None:  # DINOv3 has none of the keys
                present = [torch.zeros_like(given) if bias is None else bias for bias in biases]
                joined[f"{start}qkv.bias"] = torch.cat(present)
        if ".mlp.fc1_x." in key and key.replace("fc1_x", "fc1_g") not in tensors:
            joined[key.replace("fc1_x", "fc1")] = joined.pop(key)
    return joined
