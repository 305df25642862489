"""Gathers rows of all processes so that gradients reach those of each."""

from typing import Any

import torch
from torch import Tensor

from stages.core.engine.distributed import gather, rank, sum_over_processes


def gather_with_gradient(value: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in their order; what another process's loss takes of a row counts too.

    Gradients are averaged over the processes after that, so that losses which are means over the rows of all of them
    have the gradients that they have in one process.

    Args:
        value: (B, ...); B is the same in all processes.
    """
    gathered: Tensor = _Gather.apply(value)
    return gathered


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        ctx.start = rank() * len(value)
        ctx.count = len(value)
        return gather(value).view(-1, *value.shape[1:])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = sum_over_processes(gradients[0].clone())
        return whole[ctx.start : ctx.start + ctx.count]
