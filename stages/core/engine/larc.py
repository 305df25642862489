"""LARC and LARS: SGD with a learning rate per layer."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

_TRUST = 0.001
_EPSILON = 1e-8


class LARC(torch.optim.SGD):
    """SGD with momentum whose step is scaled per parameter by |p| / |g|, without clipping.

    Weight decay enters the scaled gradient. A group with `scaled: False` takes SGD's plain step, which is how LARS
    treats biases and norms.

    Source: You et al. 2017; the form of apex with clip off, which SwAV uses.
    """

    def __init__(
        self, params: Iterable[Tensor] | Iterable[dict[str, Any]], lr: float, momentum: float, weight_decay: float = 0.0
    ) -> None:
        super().__init__(params, lr=lr, momentum=momentum, weight_decay=weight_decay)
        for group in self.param_groups:
            group.setdefault("scaled", True)
            if group["scaled"]:  # SGD would add the decay again, behind the scaling.
                group["scaled_decay"], group["weight_decay"] = group["weight_decay"], 0.0
        self.register_step_pre_hook(_scale_groups)


@torch.no_grad()
def _scale_groups(optimizer: Optimizer, *_: object) -> None:
    for group in optimizer.param_groups:
        if group["scaled"]:
            _scale_gradients([p for p in group["params"] if p.grad is not None], group["scaled_decay"])


def _scale_gradients(params: list[Tensor], decay: float) -> None:
    gradients = [p.grad for p in params if p.grad is not None]
    if not gradients:
        return
    sizes, slopes = torch.stack(torch._foreach_norm(params)), torch.stack(torch._foreach_norm(gradients))
    rates = _TRUST * sizes / (slopes + decay * sizes + _EPSILON)
    moving = (sizes != 0) & (slopes != 0)
    torch._foreach_add_(gradients, torch._foreach_mul(params, list(torch.where(moving, decay, 0.0).unbind())))
    torch._foreach_mul_(gradients, list(torch.where(moving, rates, torch.ones_like(rates)).unbind()))
