"""Compares a file's tensors, under timm's names, with those of a network."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_SHOWN = 3
_TOKENS = {"cls_token", "reg_token", "pos_embed"}
"""What a transformer without it cannot leave out of a file that has it."""


class Fit(NamedTuple):
    """How a file's tensors fit those of a network."""

    tensors: dict[str, Tensor]
    """Those of the network, by its own names."""
    missing: list[str]
    """The network's, which the file lacks."""
    wrong_shape: list[str]
    """The network's, which the file has in another shape."""
    unexpected: list[str]
    """The file's, of modules that the network has, but not so many of: a deeper network's blocks."""
    unused: list[str]
    """The file's that belong to no module of the network: heads, decoders, codes."""

    @property
    def problems(self) -> int:
        """How many tensors keep the file from being the network's."""
        return len(self.missing) + len(self.wrong_shape) + len(self.unexpected)

    def describe(self) -> str:
        """What does not fit, in words."""
        said = {"missing": self.missing, "of another shape": self.wrong_shape, "with no place in it": self.unexpected}
        return "; ".join(_list(keys, what) for what, keys in said.items() if keys)


def fit_tensors(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Fit:
    """Compare a file's tensors with a network's.

    Args:
        tensors: By timm's names.
        own: The network's state dict; shapes alone are used, so that it may be on the meta device.
    """
    adapted = _spell(dict(tensors), own)
    missing = [key for key in own if key not in adapted and not key.endswith("num_batches_tracked")]
    wrong_shape = [key for key in own if key in adapted and adapted[key].shape != own[key].shape]
    modules = {key.partition(".")[0] for key in own} | _TOKENS
    left = [key for key in adapted if key not in own]
    unexpected = [key for key in left if key.partition(".")[0] in modules]
    unused = [key for key in left if key.partition(".")[0] not in modules]
    return Fit({key: adapted[key] for key in own if key in adapted}, missing, wrong_shape, unexpected, unused)


def _list(keys: Sequence[str], what: str) -> str:
    return f"{len(keys)} tensors {what} ({', '.join(keys[:_SHOWN])}{', ...' if len(keys) > _SHOWN else ''})"


def _spell(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Where timm's networks differ among themselves in how they hold the same thing: as this one does."""
    _place_class_token(tensors, own)
    for key in list(tensors):
        start, _, end = key.rpartition(".")
        if key in own:
            continue
        if start.endswith((".ls1", ".ls2")) and f"{start[:-4]}.gamma_{start[-1]}" in own:
            tensors[f"{start[:-4]}.gamma_{start[-1]}"] = tensors.pop(key)
        elif key.endswith(".attn.qkv.bias"):
            _split_bias(tensors, key, own)
        elif ".mlp.fc1_g" in start and f"{start.replace('fc1_g', 'fc1')}.{end}" in own:
            halves = [tensors.pop(key), tensors.pop(key.replace("fc1_g", "fc1_x"))]
            tensors[key.replace("fc1_g", "fc1")] = torch.cat(halves)
    return tensors


def _place_class_token(tensors: dict[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Networks of timm with registers give the class token no position of its own: it is added beforehand."""
    positions, places = tensors.get("pos_embed"), own.get("pos_embed")
    if positions is None or places is None or "reg_token" not in own or "cls_token" not in tensors:
        return
    if positions.shape[1] == places.shape[1] + 1:
        tensors["cls_token"] = tensors["cls_token"] + positions[:, :1]
        tensors["pos_embed"] = positions[:, 1:]


def _split_bias(tensors: dict[str, Tensor], key: str, own: Mapping[str, Tensor]) -> None:
    """Eva's networks keep the biases of queries and values, and know none of keys; some know none at all."""
    queries, keys, values = tensors[key].chunk(3)
    start = key.removesuffix("qkv.bias")
    if keys.count_nonzero():
        return
    if f"{start}q_bias" in own:
        tensors |= {f"{start}q_bias": queries, f"{start}v_bias": values}
        del tensors[key]
    elif not queries.count_nonzero() and not values.count_nonzero():
        del tensors[key]
