"""Optimizers, their parameter groups, and the learning rate schedule."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from stages.core.config.training import OptimizerConfig
from stages.core.engine.larc import LARC
from stages.core.errors import UserError


def build_optimizer(
    method: nn.Module, config: OptimizerConfig, batch_size: int, without_momentum: tuple[str, ...] = ()
) -> torch.optim.Optimizer:
    """The optimizer of a method's trainable parameters, at the full learning rate and the first weight decay.

    Every group carries `lr_scale`, the factor of its learning rate, and whether it `decays`; parameters whose names
    begin with one of `without_momentum` move without.

    Raises:
        UserError: No parameter's name begins with a key of `lr_scales`.
    """
    groups, lr = _group_parameters(method, config, without_momentum), config.base_lr * batch_size / 256
    if config.kind == "adamw":
        return torch.optim.AdamW(groups, lr, (config.momentum, 0.999))
    if config.kind == "adam":
        return torch.optim.Adam(groups, lr, (config.momentum, 0.999))
    if config.kind == "sgd":
        return torch.optim.SGD(groups, lr, config.momentum)
    return LARC(groups, lr, config.momentum)


def _group_parameters(
    method: nn.Module, config: OptimizerConfig, without_momentum: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Groups of one learning rate and decay each, in the order of their first parameters."""
    _check_prefixes([name for name, _ in method.named_parameters()], config.lr_scales)
    groups: dict[str, dict[str, Any]] = {}
    for name, parameter in method.named_parameters():
        if parameter.requires_grad:
            options = _choose_options(name, parameter, config)
            if name.startswith(without_momentum):
                options |= {"betas": (0.0, 0.999)} if config.kind == "adamw" else {"momentum": 0.0}
            groups.setdefault(str(options), {"params": [], **options})["params"].append(parameter)
    return list(groups.values())


def _choose_options(name: str, parameter: nn.Parameter, config: OptimizerConfig) -> dict[str, Any]:
    is_vector = parameter.ndim <= 1
    prefixes = [prefix for prefix in config.lr_scales if name.startswith(prefix)]
    decays = config.decay_norm_and_bias or not is_vector
    options = {
        "lr_scale": config.lr_scales[max(prefixes, key=len)] if prefixes else 1.0,
        "weight_decay": config.weight_decay if decays else 0.0,
        "decays": decays,
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
    final + (base - final)(1 - t / T)^power, with t counted from the end of the warm-up; and that of MaskContrast's
    linear probe, which falls once, after 40 of 60 epochs.
    """
    base, final, start = (rate * batch_size / 256 for rate in (config.base_lr, config.final_lr, config.warmup_lr))
    if iteration < warmup:
        return start + (base - start) * (iteration + 1) / warmup
    t = (iteration - warmup) / max(iterations - warmup, 1)
    if config.schedule == "constant":
        return base
    if config.schedule == "step":
        return base if 3 * (iteration - warmup) < 2 * (iterations - warmup) else final
    shape = (1 + math.cos(math.pi * t)) / 2 if config.schedule == "cosine" else math.pow(1 - t, config.power)
    return final + (base - final) * shape


def set_rates(optimizer: torch.optim.Optimizer, lr: float, decay: float) -> None:
    """Let every group take its share of a learning rate, and a weight decay if it decays."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
        group["scaled_decay" if "scaled_decay" in group else "weight_decay"] = decay * group["decays"]


def weight_decay(config: OptimizerConfig, iteration: int, iterations: int) -> float:
    """The weight decay of an iteration, for the parameters that decay.

    Source: DINO's cosine schedule, final + (first - final)(1 + cos(pi t / T)) / 2, without a warm-up.
    """
    first, final = config.weight_decay, config.final_weight_decay
    if final is None:
        return first
    return final + (first - final) * (1 + math.cos(math.pi * iteration / iterations)) / 2


def clip_gradients(parameters: Iterable[nn.Parameter], config: OptimizerConfig) -> Tensor:
    """Scale gradients down to the norm that the config allows.

    Returns:
        The norm of all gradients together before that; 0 where a method has dropped them all.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return torch.zeros(())
    norms = torch._foreach_norm(gradients)
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    if config.clip_norm:
        factors = [config.clip_norm / (each + 1e-6) for each in (norms if config.clip_each else [norm])]
        clamped = [factor.clamp(max=1) for factor in factors]
        torch._foreach_mul_(gradients, clamped if config.clip_each else clamped[0])
    return norm
