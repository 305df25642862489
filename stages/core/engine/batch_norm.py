"""Synchronized batch norm: statistics over the batch of all processes."""

from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.modules.batchnorm import _BatchNorm


def sync_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """Replace every batch norm of a module by a `SyncedBatchNorm`; keys of the state dict stay as they are."""
    if device.type == "cuda":
        from timm.layers import convert_sync_batchnorm

        converted: nn.Module = convert_sync_batchnorm(module)
        return converted
    for name, child in module.named_children():
        setattr(module, name, sync_batch_norm(child, device))
    return SyncedBatchNorm.like(module) if isinstance(module, _BatchNorm) else module


class SyncedBatchNorm(_BatchNorm):
    """Batch norm whose statistics count, sum and sum of squares of all processes; for gloo, which torch's refuses."""

    @classmethod
    def like(cls, norm: _BatchNorm) -> "SyncedBatchNorm":
        """A synchronized batch norm with the parameters, buffers and options of a plain one."""
        synced = cls.__new__(cls)
        synced.__dict__ = norm.__dict__
        return synced

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, ...) to the same shape, normalized by the statistics of all processes while training."""
        result = self._normalize(x) if self.training else super().forward(x)
        # timm's networks carry dropout and activation in their norms.
        for name in ("drop", "act"):
            result = getattr(self, name, nn.Identity())(result)
        return result

    def _normalize(self, x: Tensor) -> Tensor:
        dims = [dim for dim in range(x.ndim) if dim != 1]
        # In double, as torch's own on the CPU: where photographs are much alike, digits of the mean decide.
        sums = torch.cat([x.sum(dims, dtype=torch.double), x.new_tensor([x.numel() / x.shape[1]], dtype=torch.double)])
        total: Any = _Sum.apply(sums)
        mean, count = total[:-1] / total[-1], total[-1].detach()
        centered = x - _spread(mean, x.ndim)
        squares: Any = _Sum.apply(centered.square().sum(dims))  # Of the centered values: no digits are lost.
        variance = squares / count
        self._track(mean.detach(), variance.detach(), count)
        normalized = centered * _spread((variance + self.eps).rsqrt(), x.ndim)
        if self.affine:
            normalized = normalized * _spread(self.weight, x.ndim) + _spread(self.bias, x.ndim)
        return normalized.to(x.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_((variance * count / (count - 1)).to(self.running_var), share)

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def _spread(values: Tensor, ndim: int) -> Tensor:
    return values.view(1, -1, *[1] * (ndim - 2))


class _Sum(torch.autograd.Function):
    """Sum over all processes; so is the gradient, since every process's result depends on every input."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        result = value.clone()
        dist.all_reduce(result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        result = gradients[0].clone()
        dist.all_reduce(result)
        return result
