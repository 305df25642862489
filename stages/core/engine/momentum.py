"""Momentum networks: a slow copy of a network that is its teacher or encodes its keys."""

import copy
import math
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from stages.core.engine.distributed import broadcast, gather, own_rows
from stages.core.engine.method import TrainingProgress
from stages.core.params import Params


class MomentumConfig(Params):
    """How slowly a copy follows its network."""

    value: float = Field(0.999, ge=0, le=1)
    """Share of the copy that an update keeps. MoCo: 0.999; BYOL and DINO: 0.996."""
    schedule: Literal["fixed", "cosine"] = "fixed"
    """`cosine`: grows from `value` to 1 at the end of training. MoCo: fixed; BYOL and DINO: cosine."""

    def at(self, progress: TrainingProgress) -> float:
        """The momentum of an iteration.

        Source: BYOL, section 3.3: 1 - (1 - value)(cos(pi k / K) + 1) / 2.
        """
        if self.schedule == "fixed":
            return self.value
        return 1 - (1 - self.value) * (math.cos(math.pi * progress.iteration / progress.iterations) + 1) / 2


class MomentumCopy(nn.Module):
    """A copy of a network that no gradient reaches; its parameters follow by a moving average.

    All of it lies in parameters and buffers, so a checkpoint holds it; `update` belongs in a method's `after_step`.

    Args:
        source: The network; its copy starts out equal.
        buffers: `copy` takes over the network's buffers (batch norm's running statistics) at every update; with `own`
            the copy keeps those that its own forward passes leave (MoCo, MaskContrast).

    Source: MoCo, equation 2.
    """

    def __init__(self, source: nn.Module, buffers: Literal["copy", "own"] = "copy") -> None:
        super().__init__()
        self.network = copy.deepcopy(source).requires_grad_(False)
        self._buffers_from = buffers

    @torch.no_grad()
    def forward(self, *inputs: Any) -> Any:
        """What the copy makes of the inputs, without gradient."""
        return self.network(*inputs)

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Move the copy towards its network: momentum times the copy and the rest of the network."""
        for own, other in zip(self.network.parameters(), source.parameters(), strict=True):
            own.lerp_(other, 1 - momentum)
        if self._buffers_from == "copy":
            for buffer, newer in zip(self.network.buffers(), source.buffers(), strict=True):
                buffer.copy_(newer)


@torch.no_grad()
def shuffle_batch(batch: Tensor) -> tuple[Tensor, Tensor]:
    """Mix the samples of all processes, so that keys meet other samples in batch norm than queries do.

    Args:
        batch: (B, ...) of this process.

    Returns:
        (B, ...) other samples of the global batch, and the order (processes B,) that `restore_order` wants. The order
        comes from torch's generator.

    Source: MoCo, section 3.3 (shuffling BN).
    """
    everything = gather(batch)
    order = broadcast(torch.randperm(len(everything)).to(batch.device))
    return everything[own_rows(order)], order


@torch.no_grad()
def restore_order(shuffled: Tensor, order: Tensor) -> Tensor:
    """Undo `shuffle_batch` on what was made of its samples: (B, ...) of this process's samples, in their order."""
    return gather(shuffled)[own_rows(order.argsort())]
