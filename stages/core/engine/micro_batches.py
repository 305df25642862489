"""Steps computed in several passes, whose gradients add up to those of the whole batch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.config.training import TrainingConfig
from stages.core.engine.batch_norm import NormGroups
from stages.core.engine.distributed import world_size
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.errors import UserError
from stages.core.images.dataset import Batch

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def pass_groups(method: TrainingMethod, config: TrainingConfig, photographs: int, stage: str) -> NormGroups:
    """The groups of photographs that share statistics of batch norm, in a pass.

    Args:
        method: What is trained.
        config: How.
        photographs: Of a step, in all processes.
        stage: That trains.

    Raises:
        UserError: A group would lie in several passes.
    """
    own, group = photographs // world_size(), config.norm_group
    at_once = min(config.at_once or own, own)
    if at_once < own and _norms_of_batches(method) and (not group or at_once % group or own % at_once):
        raise UserError(
            f"{stage}.training.micro_batch = {at_once}: batch norm takes its statistics from photographs that are "
            f"computed together; set training.norm_group to {at_once} or a divisor of it, and micro_batch to a divisor "
            f"of a process's {own} photographs of a step; or micro_batch to 0"
        )
    return NormGroups(at_once * world_size(), group)


def compute_gradients(
    fabric: Fabric, network: Any, method: TrainingMethod, batch: Batch, progress: TrainingProgress, at_once: int
) -> Losses:
    """The losses of a batch, and their gradients.

    Args:
        fabric: That `network` was set up with.
        network: Calls the method's step.
        method: What is trained.
        batch: Of this process.
        progress: Of the training.
        at_once: Photographs of a pass; 0 for all.
    """
    if not 0 < at_once < len(batch.positions):
        losses: Losses = network(batch, progress)
        fabric.backward(losses.total)
        return losses
    parts = _split(batch, at_once)
    weights = torch.stack([method.weigh(part) for part in parts])
    statistics, whole = _Statistics(method), Losses(torch.zeros((), device=weights.device))
    for part, share in zip(parts, weights / weights.sum().clamp_min(1), strict=True):
        with fabric.no_backward_sync(network, enabled=part is not parts[-1]), statistics.of_pass():
            losses = network(part, progress)
            fabric.backward(losses.total * share)
        whole.total += losses.total.detach() * share
        for name, value in losses.parts.items():
            whole.parts[name] = whole.parts.get(name, 0) + value.detach() * share
    statistics.take_mean(len(parts))
    return whole


def _split(batch: Batch, size: int) -> list[Batch]:
    """Batches of at most `size` photographs, in their order."""
    parts = [slice(start, start + size) for start in range(0, len(batch.positions), size)]
    return [
        Batch(
            [view[part] for view in batch.views],
            batch.windows[part],
            {name: [cut[part] for cut in cuts] for name, cuts in batch.maps.items()},
            batch.positions[part],
        )
        for part in parts
    ]


def _norms_of_batches(method: TrainingMethod) -> list[_BatchNorm]:
    """Batch norms that take statistics from what they are given while the method trains."""
    norms = [each for each in method.train().modules() if isinstance(each, _BatchNorm)]
    return [norm for norm in norms if norm.training or norm.running_mean is None]


class _Statistics:
    """Running statistics over a step of several passes.

    A pass moves them by a share of the way to its own: where all passes together would move them is the mean of where
    each does from the same start.
    """

    def __init__(self, method: TrainingMethod) -> None:
        norms = [norm for norm in _norms_of_batches(method) if norm.running_mean is not None]
        self._running = [each for norm in norms for each in norm.buffers(recurse=False)]
        self._before = [each.clone() for each in self._running]
        self._sums = [torch.zeros_like(each) for each in self._running]

    @contextmanager
    def of_pass(self) -> Iterator[None]:
        """A pass, from the start."""
        for running, before in zip(self._running, self._before, strict=True):
            running.copy_(before)
        yield
        for running, total in zip(self._running, self._sums, strict=True):
            total += running

    def take_mean(self, passes: int) -> None:
        """Set them to the mean over the passes."""
        for running, total in zip(self._running, self._sums, strict=True):
            running.copy_(total / passes)
