"""Optimisers and the learning rate over time."""

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.core.params import Params

_TRUST = 0.001
_EPSILON = 1e-8


class OptimiserConfig(Params):
    """Optimiser and learning rate; the rate follows a cosine per iteration after a linear warm-up."""

    kind: Literal["larc", "sgd", "adamw"] = "larc"
    """LARC on SGD with momentum (SwAV), plain SGD with momentum, or AdamW."""
    base_lr: float = Field(0.6, gt=0)
    """Learning rate for 256 photographs a batch; used is base_lr * batch_size / 256. SwAV: 0.6."""
    final_lr: float = Field(0.0006, ge=0)
    """Learning rate at the end, for 256 photographs a batch. SwAV: 0.0006."""
    weight_decay: float = Field(1e-6, ge=0)
    """SwAV: 1e-6."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Of SGD; AdamW's first beta. SwAV: 0.9."""
    warmup_epochs: float = Field(0.0, ge=0)
    """Epochs of linear warm-up from 0. SwAV at small batches: none."""


class LARC(torch.optim.SGD):
    """SGD with momentum whose step is scaled per parameter by |p| / |g|, without clipping.

    Weight decay enters the scaled gradient. Applies to every parameter, biases and norms included.

    Source: You et al. 2017; the form of apex with clip off, which SwAV uses.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float, weight_decay: float) -> None:
        super().__init__(params, lr=lr, momentum=momentum)
        self.param_groups[0]["larc_decay"] = weight_decay

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Scale the gradients, then take the SGD step."""
        for group in self.param_groups:
            trained = [p for p in group["params"] if p.grad is not None]
            _scale_gradients(trained, group["larc_decay"])
        loss: float | None = super().step(closure)
        return loss


def _scale_gradients(params: list[Tensor], decay: float) -> None:
    gradients = [p.grad for p in params if p.grad is not None]
    if not gradients:
        return
    sizes, slopes = torch.stack(torch._foreach_norm(params)), torch.stack(torch._foreach_norm(gradients))
    rates = _TRUST * sizes / (slopes + decay * sizes + _EPSILON)
    moving = (sizes != 0) & (slopes != 0)
    torch._foreach_add_(gradients, torch._foreach_mul(params, list(torch.where(moving, decay, 0.0).unbind())))
    torch._foreach_mul_(gradients, list(torch.where(moving, rates, torch.ones_like(rates)).unbind()))


def build_optimiser(method: nn.Module, config: OptimiserConfig, batch_size: int) -> torch.optim.Optimizer:
    """The optimiser of a method's trainable parameters, at the full learning rate."""
    trained = [p for p in method.parameters() if p.requires_grad]
    lr = config.base_lr * batch_size / 256
    if config.kind == "larc":
        return LARC(trained, lr, config.momentum, config.weight_decay)
    if config.kind == "sgd":
        return torch.optim.SGD(trained, lr, config.momentum, weight_decay=config.weight_decay)
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], lr, (config.momentum, 0.999))


def learning_rate(config: OptimiserConfig, batch_size: int, iteration: int, iterations: int, warmup: int) -> float:
    """The learning rate of an iteration.

    Source: SwAV's schedule: final + (base - final)(1 + cos(pi t / T)) / 2 after the warm-up.
    """
    base, final = config.base_lr * batch_size / 256, config.final_lr * batch_size / 256
    if iteration < warmup:
        return base * (iteration + 1) / warmup
    t = (iteration - warmup) / max(iterations - warmup, 1)
    return final + (base - final) * (1 + math.cos(math.pi * t)) / 2
