"""Collective operations over the processes of a distributed training; with one process, the identity."""

from typing import Any, cast

import torch
from torch import Tensor
from torch import distributed as dist


def world_size() -> int:
    """Number of processes of this training."""
    return dist.get_world_size() if _is_distributed() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _is_distributed() else 0


def sum_over_processes(value: Tensor) -> Tensor:
    """Sum of a tensor over all processes, in place; no gradient flows."""
    return _reduce(value, dist.ReduceOp.SUM)


def max_over_processes(value: Tensor) -> Tensor:
    """Maximum of a tensor over all processes, in place; no gradient flows."""
    return _reduce(value, dist.ReduceOp.MAX)


@torch.no_grad()
def mean_over_processes(rows: Tensor) -> Tensor:
    """Mean (...) over the rows (N, ...) of all processes, without gradient; N may differ between them."""
    return sum_over_processes(rows.sum(0)) / sum_over_processes(rows.new_tensor(float(len(rows))))


def mean_over_rows(values: Tensor) -> Tensor:
    """Differentiable mean over the rows of all processes, however many each has; 0 where there is none.

    Training averages losses and gradients over the processes, which would give the rows of a process that has few more
    weight. What this returns averages to the mean itself.

    Args:
        values: (N,) of this process; N may differ, and may be 0.
    """
    return weighted_mean_over_rows(values, torch.ones_like(values, requires_grad=False))


def weighted_mean_over_rows(values: Tensor, weights: Tensor) -> Tensor:
    """`mean_over_rows`, weighted: sum of weight times value over sum of weights (N,), which get no gradient."""
    total = sum_over_processes(weights.detach().sum())
    return (values * weights).sum() * (world_size() / torch.where(total > 0, total, 1))


@torch.no_grad()
def gather(value: Tensor) -> Tensor:
    """Concatenate the rows of all processes, in their order.

    Args:
        value: (B, ...); B may differ between the processes.

    Returns:
        (sum of B, ...) without gradient.
    """
    if not _is_distributed():
        return value
    counts = _gather_counts(len(value))
    padded = value.new_zeros(max(counts), *value.shape[1:])
    padded[: len(value)] = value
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])


def gather_with_gradient(value: Tensor) -> Tensor:
    """`gather` of equal shares (B, ...), through which every process's loss reaches the rows of all others.

    Training averages gradients over the processes; those of a mean over the rows of all processes come out as in one.
    """
    return cast(Tensor, _Gather.apply(value)) if _is_distributed() else value


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return gather(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return local_rows(sum_over_processes(gradients[0].clone()))


def sum_with_gradient(value: Tensor) -> Tensor:
    """Sum over all processes; so is the gradient, since every process's result depends on every input."""
    return cast(Tensor, _Sum.apply(value)) if _is_distributed() else value


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return sum_over_processes(value.clone())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return sum_over_processes(gradients[0].clone())


def _gather_counts(own: int) -> list[int]:
    counts = torch.zeros(world_size(), dtype=torch.long)
    counts[rank()] = own
    return [int(count) for count in sum_over_processes(counts)]


def local_rows(value: Tensor) -> Tensor:
    """This process's equal share of the rows that `gather` gives, or of any tensor that all processes hold."""
    return value.tensor_split(world_size())[rank()]


def broadcast(value: Tensor) -> Tensor:
    """Copy the first process's tensor to all processes, in place."""
    if _is_distributed():
        dist.broadcast(value, 0)
    return value


def _reduce(value: Tensor, how: dist.ReduceOp.RedOpType) -> Tensor:
    if _is_distributed():
        dist.all_reduce(value, how)
    return value


def _is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()
