"""Batch norm over all photographs of a step or groups of them, however many processes share them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.engine.distributed import rank, sum_with_gradient, world_size
from stages.core.errors import UserError
from stages.core.words import how_many


@dataclass(frozen=True)
class NormGroups:
    """Which samples share statistics: those of `size` photographs that follow each other, all their views together."""

    photographs: int
    """Of a step, in all processes."""
    size: int = 0
    """Photographs of a group; the last group takes what is left over. 0: all."""

    @property
    def count(self) -> int:
        """Groups of a step."""
        return max(self.photographs // self.size, 1) if self.size else 1

    def of(self, samples: int) -> Tensor:
        """The group (N,) of every sample of a pass of this process: the photographs once for each view, in order.

        A pass that holds other than whole views of all photographs is one group.
        """
        own = self.photographs // world_size()
        if self.count == 1 or samples % own:
            return torch.zeros(samples, dtype=torch.long)
        return ((rank() * own + torch.arange(samples) % own) // self.size).clamp(max=self.count - 1)


ALL = NormGroups(1)
"""All samples share statistics."""


@contextmanager
def report_single_values(stage: str, photographs: int) -> Iterator[None]:
    """Say in one line what torch says of a step that has a single value for a batch norm.

    Args:
        stage: Stage that trains.
        photographs: Of a step.

    Raises:
        UserError: It has.
    """
    try:
        yield
    except ValueError as error:
        if not str(error).startswith("Expected more than 1 value per channel when training"):
            raise
        raise UserError(
            f"{stage}: {how_many(photographs, 'photograph')} a step is too few for batch norm, which has a single "
            "value then; training needs at least two photographs, and training.batch_size of 2 or more (where few have "
            "labels: a larger pseudolabel.share)"
        ) from None


def sync_batch_norm(module: nn.Module, device: torch.device, groups: NormGroups = ALL) -> None:
    """Let every batch norm of a module see whole groups, wherever their samples are; the state's names stay."""
    if world_size() == 1 and groups.count == 1:
        return
    if device.type == "cuda" and groups.count == 1:
        from timm.layers import convert_sync_batchnorm

        convert_sync_batchnorm(module)
        return
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, GroupedBatchNorm.like(child, groups))
        sync_batch_norm(child, device, groups)


class GroupedBatchNorm(_BatchNorm):
    """Batch norm by the statistics of each sample's group, which may lie in several processes.

    Running statistics follow the mean of the groups' own, as those of one group would on average.
    """

    groups: NormGroups

    @classmethod
    def like(cls, norm: _BatchNorm, groups: NormGroups) -> "GroupedBatchNorm":
        """One with the parameters, buffers and options of another batch norm."""
        grouped = cls.__new__(cls)
        grouped.__dict__ = norm.__dict__
        grouped.groups = groups
        return grouped

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) to the same shape, normalized by the statistics of the groups while training."""
        result = self._normalize(x) if self.training else super().forward(x)
        # timm's networks carry dropout and activation in their norms.
        for name in ("drop", "act"):
            result = getattr(self, name, nn.Identity())(result)
        return result

    def _normalize(self, x: Tensor) -> Tensor:
        group = self.groups.of(len(x)).to(x.device)  # (N,)
        # In double, as torch's own on the CPU: where photographs are much alike, digits of the mean decide.
        precise = torch.double if x.device.type == "cpu" else torch.float
        found = self._sum(x.new_full((len(x), 1), x[0, 0].numel(), dtype=precise), group)  # (G, 1)
        count = found.clamp(min=1)  # A pass that is one group fills the first alone.
        mean = self._sum(_sum_places(x, precise), group) / count  # (G, C)
        centered = x.to(precise) - _spread(mean[group], x.ndim)
        # Of the centered values: no digits are lost.
        variance = self._sum(_sum_places(centered.square(), precise), group) / count
        seen = found[:, 0] > 0
        self._track(mean.detach()[seen], variance.detach()[seen], count[seen])
        normalized = centered * _spread((variance + self.eps).rsqrt()[group], x.ndim)
        if self.affine:
            normalized = normalized * _spread(self.weight[None], x.ndim) + _spread(self.bias[None], x.ndim)
        return normalized.to(x.dtype)

    def _sum(self, values: Tensor, group: Tensor) -> Tensor:
        """(N, C) of this process to sums (G, C) over the samples of all."""
        return sum_with_gradient(values.new_zeros(self.groups.count, values.shape[1]).index_add(0, group, values))

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        unbiased = variance * count / (count - 1).clamp(min=1)
        self.num_batches_tracked += 1
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.mean(0).to(self.running_mean), share)
        self.running_var.lerp_(unbiased.mean(0).to(self.running_var), share)

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def _sum_places(x: Tensor, dtype: torch.dtype) -> Tensor:
    """(N, C, ...) to (N, C)."""
    return x.flatten(2).sum(2, dtype=dtype) if x.ndim > 2 else x.to(dtype)


def _spread(values: Tensor, ndim: int) -> Tensor:
    """(N, C) to (N, C, 1, ...) of `ndim` dimensions."""
    return values.view(*values.shape, *[1] * (ndim - 2))
