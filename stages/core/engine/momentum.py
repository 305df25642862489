"""Momentum encoders: a moving average of a network that serves as its teacher or encodes its keys."""

import copy
from typing import Any, Literal

import torch
from torch import Tensor, nn

from stages.core.engine.distributed import broadcast, gather, local_rows


class MomentumCopy(nn.Module):
    """A copy of a network without gradient, whose parameters are a moving average of the network's.

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
        """The copy's output, without gradient."""
        return self.network(*inputs)

    @torch.no_grad()
    def update(self, source: nn.Module, momentum: float) -> None:
        """Update the moving average: momentum times the copy plus (1 - momentum) times the network."""
        for own, other in zip(self.network.parameters(), source.parameters(), strict=True):
            own.lerp_(other, 1 - momentum)
        if self._buffers_from == "copy":
            for buffer, newer in zip(self.network.buffers(), source.buffers(), strict=True):
                buffer.copy_(newer)


@torch.no_grad()
def shuffle_batch(batch: Tensor, groups: int = 1) -> tuple[Tensor, Tensor]:
    """Shuffle the batch over all processes (shuffling BN), so that batch norm leaks nothing from queries to keys.

    Args:
        batch: (B, ...) of this process.
        groups: Equal parts that what is returned is to be cut in; the n-th parts of all processes then hold what the
            n-th part of a single process would.

    Returns:
        (B, ...) other samples of the global batch, and the order (processes B,) that `restore_order` wants. The order
        comes from torch's generator.

    Source: MoCo, section 3.3 (shuffling BN).
    """
    everything = gather(batch)
    order = broadcast(torch.randperm(len(everything)).to(batch.device))
    own = torch.cat([local_rows(group) for group in order.tensor_split(groups)])
    return everything[own], gather(own)


@torch.no_grad()
def restore_order(shuffled: Tensor, order: Tensor) -> Tensor:
    """Undo `shuffle_batch` on the outputs of its samples: (B, ...) of this process, in the original order."""
    return gather(shuffled)[local_rows(order.argsort())]
