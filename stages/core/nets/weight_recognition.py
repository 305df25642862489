"""Recognizes the network that a file of weights belongs to, by its tensors."""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig, Positions, TransformerConfig
from stages.core.config.weights import Branch
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.transformers import is_transformer
from stages.core.nets.weight_files import read_tensors
from stages.core.nets.weight_fit import Fit, fit_tensors
from stages.core.nets.weight_names import NamedWeights, name_as_timm

_SIZES = ("small", "base", "large")

KNOWN = (
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)),
    *("vgg16", "vgg16_bn", "wide_resnet50_2", "resnext50_32x4d", "convnext_tiny", "convnext_small", "convnext_base"),
    *("vit_tiny_patch16_224", "vit_small_patch8_224", "vit_base_patch8_224", "vit_huge_patch14_224"),
    *(f"vit_{size}_patch16_224" for size in _SIZES),
    *(f"vit_{size}_patch14{registers}_dinov2" for registers in ("", "_reg4") for size in (*_SIZES, "giant")),
    *(f"vit_{size}_patch16_dinov3{bias}" for bias in ("", "_qkvb") for size in (*_SIZES, "small_plus", "huge_plus")),
    *("vit_tiny_patch16_dinov3_qkvb", "deit3_small_patch16_224", "deit3_base_patch16_224"),
)
"""Names of timm's that a file is compared with."""

_LABEL_HEADS = (
    "fc.weight",
    "head.weight",
    "head.fc.weight",
    "classifier.weight",
    "classifier.6.weight",
    "heads.head.weight",
)
_LABELS = (1000, 11221, 21841, 21843)
"""Classes of ImageNet in its versions: who has a head of so many has learnt from labels."""
_MOCO_V3 = ("base_encoder", 384, 12)
"""MoCo v3's ViT-S has 12 heads (Chen et al. 2021, table 1), timm's and all others' 6; its tensors are the same."""
_WIDTHS = {192: "_tiny_", 384: "_small_", 768: "_base_", 1024: "_large_", 1280: "_huge_", 1536: "_giant_"}
_FIRST_LAYER = "patch_embed.proj.weight"


class Recognized(NamedTuple):
    """The network that a file of weights belongs to, and how well it fits."""

    named: NamedWeights
    fit: Fit
    """Beside the tensors of `backbone`."""
    backbone: BackboneConfig
    """The network that it fits, or the nearest; with what must be said so that it computes what its authors' does."""
    names: tuple[str, ...]
    """All networks that it fits; none where `backbone` is only the nearest."""
    image_size: int | None
    """Side in pixels that the position embeddings were trained at; None where there are none."""
    is_supervised: bool
    """Whether it holds a classifier of ImageNet's labels."""

    @property
    def facts(self) -> dict[str, str]:
        """What its tensors tell, by title."""
        tensors, branches = self.named.tensors, self.named.branches
        facts = {"names as in": self.named.naming.name, "numbers": _count(tensors)}
        if _FIRST_LAYER in tensors:
            facts |= _describe_transformer(tensors, self.image_size)
        if branches:
            facts["networks"] = f"{branches[0]} (its authors' choice, unless pretrain.weights.branch says otherwise), "
            facts["networks"] += ", ".join(branches[1:])
        facts["left over"] = _summarize(self.fit.unused) or "nothing"
        return facts


def recognize(path: Path, branch: Branch | None = None) -> Recognized:
    """Compare a file with the networks of `KNOWN`.

    Args:
        path: The file; a `config.json` of `transformers` beside it is read too.
        branch: See `WeightsFile.branch`.

    Raises:
        UserError: It is no file of weights, or holds no backbone.
    """
    named = name_as_timm(read_tensors(path), branch)
    tensors = named.tensors
    if not any(tensor.ndim == 4 for tensor in tensors.values()):
        raise UserError(
            f"{path}: holds no backbone, only {_summarize(list(tensors))}; take the file of the whole network"
        )
    size = _trained_size(tensors)
    fits: dict[str, tuple[Fit, nn.Module]] = {}
    for name in _candidates(tensors):
        network = _build_on_meta(name, _layout(name, tensors, size))
        fits[name] = fit_tensors(tensors, network.state_dict()), network
    best = min(fits, key=lambda name: fits[name][0].problems)
    fit, network = fits[best]
    transformer = _complete(path, network, named, size) if is_transformer(network) else None
    supervised = any(len(tensors[head]) in _LABELS for head in _LABEL_HEADS if head in tensors)
    names = tuple(name for name in fits if not fits[name][0].problems)
    return Recognized(named, fit, BackboneConfig(name=best, transformer=transformer), names, size, supervised)


def _candidates(tensors: dict[str, Tensor]) -> list[str]:
    """Networks of the same kind; transformers of the same width and patch, as far as there are some."""
    if _FIRST_LAYER not in tensors:
        return [name for name in KNOWN if "_patch" not in name]
    width, patch = tensors[_FIRST_LAYER].shape[0], tensors[_FIRST_LAYER].shape[-1]
    transformers = [name for name in KNOWN if "_patch" in name]
    same_width = [name for name in transformers if _WIDTHS.get(width, "?") in name] or transformers
    return [name for name in same_width if f"_patch{patch}_" in name] or same_width


def _layout(name: str, tensors: dict[str, Tensor], image_size: int | None) -> TransformerConfig | None:
    """The file's patch and size, where timm's network of this name can be given them."""
    if _FIRST_LAYER not in tensors or "_patch" not in name:
        return None
    patch = tensors[_FIRST_LAYER].shape[-1]
    return TransformerConfig(patch_size=None if f"_patch{patch}_" in name else patch, image_size=image_size)


def _build_on_meta(name: str, layout: TransformerConfig | None) -> nn.Module:
    """The network, without any memory."""
    with torch.device("meta"):
        return build_backbone(BackboneConfig(name=name, transformer=layout))


def _trained_size(tensors: dict[str, Tensor]) -> int | None:
    positions, first = tensors.get("pos_embed"), tensors.get(_FIRST_LAYER)
    if positions is None or first is None or positions.ndim != 3:
        return None
    return math.isqrt(positions.shape[1]) * first.shape[-1]  # the square, and a few tokens beside it


def _complete(path: Path, network: Any, named: NamedWeights, image_size: int | None) -> TransformerConfig | None:
    """What timm's network does otherwise than the file's authors; None for nothing."""
    heads, usual_size = _heads(path, named), network.pretrained_cfg["input_size"][-1]
    config = TransformerConfig(
        positions=_positions(path, network.card.name, named),
        patch_size=network.card.transformer.patch_size,
        image_size=image_size if image_size != usual_size else None,
        heads=heads if heads != network.blocks[0].attn.num_heads else None,
    )
    return None if config == TransformerConfig() else config


def _positions(path: Path, name: str, named: NamedWeights) -> Positions:
    """How the file's authors interpolate positions; timm's and facebookresearch's files have the same names."""
    if "reg4" in name or "dinov3" in name:
        return "antialiased"
    if "dinov2" in name:
        return "plain" if named.naming.name == "transformers" else "dino"
    if named.naming.rules:
        return named.naming.positions
    if path.suffix != ".safetensors" and named.wrappers <= {"teacher", "student", "module", "backbone"}:
        return "dino"
    return "plain" if named.wrappers & {"base_encoder", "model"} else "antialiased"


def _heads(path: Path, named: NamedWeights) -> int | None:
    wrapper, width, heads = _MOCO_V3
    if wrapper in named.wrappers and named.tensors[_FIRST_LAYER].shape[0] == width:
        return heads
    try:
        said = json.loads((path.parent / "config.json").read_text()).get("num_attention_heads")
    except (OSError, ValueError, AttributeError):
        return None
    return said if isinstance(said, int) and named.naming.name == "transformers" else None


def _describe_transformer(tensors: dict[str, Tensor], image_size: int | None) -> dict[str, str]:
    width, patch = tensors[_FIRST_LAYER].shape[0], tensors[_FIRST_LAYER].shape[-1]
    depth = len({key.split(".")[1] for key in tensors if key.startswith("blocks.")})
    registers = tensors["reg_token"].shape[1] if "reg_token" in tensors else 0
    return {
        "transformer": f"{depth} blocks, {width} wide, patches of {patch} pixels",
        "tokens": f"{'a' if 'cls_token' in tensors else 'no'} class token, {registers or 'no'} registers",
        "trained at": f"{image_size} pixels" if image_size else "any size: its positions are rotary",
    }


def _count(tensors: dict[str, Tensor]) -> str:
    kinds = sorted({str(each.dtype).removeprefix("torch.") for each in tensors.values() if each.is_floating_point()})
    return f"{sum(each.numel() for each in tensors.values()) / 1e6:.1f} million, {', '.join(kinds)}"


def _summarize(keys: list[str]) -> str:
    """The modules of tensors, and how many each has."""
    modules = list(dict.fromkeys(key.partition(".")[0] for key in keys))
    shown = ", ".join(f"{one} ({sum(key.partition('.')[0] == one for key in keys)})" for one in modules[:6])
    return shown + (", ..." if len(modules) > 6 else "")
