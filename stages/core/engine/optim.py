"""Optimizers, their groups of parameters, and the learning rate over time."""

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import nn

from stages.core.engine.larc import LARC
from stages.core.errors import UserError
from stages.core.params import Params


class OptimizerConfig(Params):
    """Optimizer and learning rate; the rate warms up linearly and then falls."""

    kind: Literal["larc", "lars", "sgd", "adamw"] = "larc"
    """LARC on SGD with momentum (SwAV), LARS (LARC that leaves biases and norms unscaled), plain SGD with momentum, or
    AdamW."""
    base_lr: float = Field(0.6, gt=0)
    """Learning rate for 256 photographs a batch; used is base_lr * batch_size / 256. SwAV: 0.6."""
    final_lr: float = Field(0.0006, ge=0)
    """Learning rate at the end, for 256 photographs a batch. SwAV: 0.0006."""
    schedule: Literal["cosine", "poly", "constant"] = "cosine"
    """Way from base_lr to final_lr. SwAV: cosine; MaskContrast: poly."""
    power: float = Field(0.9, gt=0)
    """Of `poly`. DeepLab and MaskContrast: 0.9."""
    lr_step: Literal["iteration", "epoch"] = "iteration"
    """How often the rate falls. SwAV: every iteration; MaskContrast: every epoch."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs of linear warm-up. SwAV at small batches: none."""
    warmup_lr: float = Field(0.0, ge=0)
    """Learning rate that the warm-up starts from, for 256 photographs a batch. SwAV: 0.3 at batches of 4096, as 0.01875
    for 256."""
    weight_decay: float = Field(1e-6, ge=0)
    """SwAV: 1e-6."""
    decay_norm_and_bias: bool = True
    """Whether biases and norms decay too. SwAV's LARC: yes; usual for LARS and AdamW: no."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of SGD; AdamW's first beta. SwAV: 0.9."""
    clip_norm: float = Field(0.0, ge=0)
    """Norm of all gradients above which they are scaled down; 0 for none. SwAV: none; DINO: 3."""
    lr_scales: dict[str, float] = Field({})
    """Factors of the learning rate by the beginning of parameters' names, as {backbone: 0.1}; the longest counts."""


def build_optimizer(method: nn.Module, config: OptimizerConfig, batch_size: int) -> torch.optim.Optimizer:
    """The optimizer of a method's trainable parameters, at the full learning rate.

    Every group carries `lr_scale`, the factor of its learning rate.

    Raises:
        UserError: No parameter's name begins with a key of `lr_scales`.
    """
    groups, lr = _group_parameters(method, config), config.base_lr * batch_size / 256
    if config.kind == "adamw":
        return torch.optim.AdamW(groups, lr, (config.momentum, 0.999))
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr, config.momentum)
    return LARC(groups, lr, config.momentum)


def _group_parameters(method: nn.Module, config: OptimizerConfig) -> list[dict[str, Any]]:
    """Groups of one learning rate and decay each, in the order of their first parameters."""
    _check_prefixes([name for name, _ in method.named_parameters()], config.lr_scales)
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            options = _choose_options(name, parameter, config)
            groups.setdefault(str(options), {"params": [], **options})["params"].append(parameter)
    return list(groups.values())


def _choose_options(name: str, parameter: nn.Parameter, config: OptimizerConfig) -> dict[str, Any]:
    is_vector = parameter.ndim <= 1
    prefixes = [prefix for prefix in config.lr_scales if name.startswith(prefix)]
    options = {
        "lr_scale": config.lr_scales[max(prefixes, key=len)] if prefixes else 1.0,
        "weight_decay": config.weight_decay if config.decay_norm_and_bias or not is_vector else 0.0,
    }
    return options | {"scaled": not is_vector} if config.kind == "lars" else options


def _check_prefixes(names: list[str], prefixes: Iterable[str]) -> None:
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            parts = ", ".join(dict.fromkeys(name.partition(".")[0] for name in names))
            raise UserError(
                f"training.optimizer.lr_scales: no parameter's name begins with {prefix!r}; there are: {parts}"
            )


def learning_rate(config: OptimizerConfig, batch_size: int, iteration: int, iterations: int, warmup: int) -> float:
    """The learning rate of an iteration; the first `warmup` iterations warm up.

    Source: SwAV's schedule, final + (base - final)(1 + cos(pi t / T)) / 2, and DeepLab's,
    final + (base - final)(1 - t / T)^power, with t counted from the end of the warm-up.
    """
    base, final, start = (rate * batch_size / 256 for rate in (config.base_lr, config.final_lr, config.warmup_lr))
    if iteration < warmup:
        return start + (base - start) * (iteration + 1) / warmup
    t = (iteration - warmup) / max(iterations - warmup, 1)
    if config.schedule == "constant":
        return base
    shape = (1 + math.cos(math.pi * t)) / 2 if config.schedule == "cosine" else math.pow(1 - t, config.power)
    return final + (base - final) * shape
