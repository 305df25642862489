"""The training loop of all methods that train."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from stages.core.artifacts.image_index import ImageIndex
from stages.core.config.training import TrainingConfig
from stages.core.engine.batch_norm import ALL, NormGroups, report_single_values, sync_batch_norm
from stages.core.engine.devices import start_fabric
from stages.core.engine.distributed import rank, world_size
from stages.core.engine.history import History, Row, SpeedLog
from stages.core.engine.launch import (
    check_share,
    is_launched,
    launch_processes,
    processes_to_start,
    report_lost_process,
)
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.micro_batches import compute_gradients, pass_groups
from stages.core.engine.optim import build_optimizer, clip_gradients, learning_rate, set_rates, weight_decay
from stages.core.engine.state import TrainingState
from stages.core.engine.survey import SurveyedMethod, survey
from stages.core.engine.tensorboard import TensorBoardLog
from stages.core.errors import UserError
from stages.core.images.dataset import Batch, EpochBatches, ViewDataset, augment_batch, load_batches, steps_per_epoch
from stages.core.progress import Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class TrainingPlan:
    """Schedule of a training: iterations, epochs and learning rates, known before it starts."""

    def __init__(self, config: TrainingConfig, photographs: int) -> None:
        self._config = config
        self._steps = steps_per_epoch(photographs, config.batch_size)
        self.iterations = config.epochs * self._steps
        self._warmup = round(config.optimizer.warmup_epochs * self._steps)
        self.optimizer, self.at_once = config.optimizer, config.at_once

    def progress(self, iteration: int) -> TrainingProgress:
        """Iteration and epoch as methods get them."""
        return TrainingProgress(iteration, self.iterations, iteration // self._steps, self._config.epochs)

    def stretches(self, start: int, by_epoch: bool) -> Iterator[range]:
        """The iterations from `start` on, in one piece, or by epoch."""
        if not by_epoch:
            yield range(start, self.iterations)
            return
        while start < self.iterations:
            end = start - start % self._steps + self._steps
            yield range(start, end)
            start = end

    def begins_epoch(self, iteration: int) -> bool:
        """Whether an iteration is the first of its epoch."""
        return iteration % self._steps == 0

    def epoch_note(self, done: int) -> str:
        """The epoch of the last of `done` iterations, for a progress line."""
        return f"epoch {(done - 1) // self._steps + 1}/{self._config.epochs}"

    def learning_rate(self, iteration: int) -> float:
        """The learning rate of an iteration."""
        optimizer, batch_size = self._config.optimizer, self._config.batch_size
        if optimizer.lr_step == "epoch" and iteration >= self._warmup:
            iteration = max(iteration - iteration % self._steps, self._warmup)
        return learning_rate(optimizer, batch_size, iteration, self.iterations, self._warmup)

    def weight_decay(self, iteration: int) -> float:
        """The weight decay of an iteration."""
        return weight_decay(self.optimizer, iteration, self.iterations)


def train(method: TrainingMethod, config: TrainingConfig, index: ImageIndex, stage: str, work: Path) -> list[Row]:
    """Train a method in place, from its newest checkpoint in `work` if there is one.

    Where several processes are to share the work, this very command runs once more in each of them; they end here, and
    the process that started them takes up their last checkpoint.

    Args:
        method: What is trained; already seeded and initialized.
        config: How long and in what steps.
        index: The training photographs.
        stage: Stage that trains, for progress and logs.
        work: Directory of unfinished work; see `stages.core.resume`.

    Returns:
        The rows of history.csv.

    Raises:
        UserError: Training goes wrong (see `stages.core.engine.diagnosis`), or one of several processes failed.
    """
    if len(index) > 1 and index.is_constant:
        raise UserError(f"all {len(index)} photographs are one and the same: there is nothing to learn from them")
    share = min(config.batch_size, len(index))
    if (processes := processes_to_start(share)) > 1:
        launch_processes(processes)
    fabric = start_fabric()
    check_share(share, world_size())
    method.lay_out(index)
    network = set_up(fabric, method, pass_groups(method, config, share, stage))
    plan = TrainingPlan(config, len(index))
    optimizer = build_optimizer(method, config.optimizer, config.batch_size, method.without_momentum)
    run = TrainingState(method, optimizer, History(plan.iterations), work)
    run.resume()
    speed, board = SpeedLog(stage, work.name), TensorBoardLog(stage, work.name)
    with (
        Progress(plan.iterations, stage, "steps", run.iteration, is_shown=rank() == 0) as bar,
        report_lost_process(),
        report_single_values(stage, share),
        run.writer,
    ):
        for batch, waited in _epochs(fabric, method, config, index, plan, run.iteration):
            row = train_step(fabric, network, run, batch, plan)
            speed.add(len(batch.positions), waited)
            if row:
                board.add(row, speed.images_per_second)
            run.save_periodically()
            bar.update(run.iteration, f"{plan.epoch_note(run.iteration)} {run.history.progress_note}")
        run.save()
    speed.write(fabric)
    if is_launched():
        sys.exit()
    return run.history.rows


class _Step(nn.Module):
    """Calls a method's step in `forward`, the only call that DDP wraps."""

    def __init__(self, method: TrainingMethod) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: Batch, progress: TrainingProgress) -> Losses:
        return self.method.step(batch, progress)


def set_up(fabric: Fabric, method: TrainingMethod, groups: NormGroups = ALL) -> Any:
    """Move a method to its device and wrap it for data-parallel training."""
    sync_batch_norm(method, fabric.device, groups)
    fabric.to_device(method)
    method.to(memory_format=torch.channels_last).train()
    with warnings.catch_warnings():
        # The new name of `broadcast_buffers` is unknown to older versions of torch.
        warnings.filterwarnings("ignore", message="`broadcast_buffers` is deprecated")
        return fabric.setup_module(_Step(method))


def train_step(fabric: Fabric, network: Any, run: TrainingState, batch: Batch, plan: TrainingPlan) -> Row | None:
    """Run one iteration: learning rate, losses, gradients, optimizer step, and the method's hooks.

    Returns:
        The row of the history that this iteration fills, if it does.
    """
    progress, lr = plan.progress(run.iteration), plan.learning_rate(run.iteration)
    set_rates(run.optimizer, lr, plan.weight_decay(run.iteration))
    losses = compute_gradients(fabric, network, run.method, batch, progress, plan.at_once)
    run.method.after_gradients(progress)
    norm = clip_gradients(run.method.parameters(), plan.optimizer)
    run.optimizer.step()
    run.optimizer.zero_grad(set_to_none=True)
    run.method.after_step(progress)
    values = {"loss": losses.total, **losses.parts, "grad_norm": norm}
    return run.add_to_history(values, {"epoch": progress.epoch + 1, "lr": lr}, plan.iterations)


def _epochs(
    fabric: Fabric, method: TrainingMethod, config: TrainingConfig, index: ImageIndex, plan: TrainingPlan, start: int
) -> Iterator[tuple[Batch, float]]:
    """This process's batches from an iteration on, and the seconds that each was waited for.

    Surveys take place between the last step of an epoch, with its checkpoint, and the first of the next.
    """
    dataset = ViewDataset(index, method.views, method.open_maps(), config.seed, method.coverage)
    for stretch in plan.stretches(start, by_epoch=isinstance(method, SurveyedMethod)):
        groups = None
        if isinstance(method, SurveyedMethod):
            epoch = plan.progress(stretch.start).epoch
            if plan.begins_epoch(stretch.start) and method.is_due(epoch):
                survey(method, index, epoch, config.seed, fabric)
            groups = method.sampled_by
        batches = EpochBatches(len(index), config.batch_size, config.seed, stretch, groups)
        batches = batches.shared(rank(), world_size())
        yield from _device_batches(load_batches(dataset, batches, fabric.device), method, fabric.device)


def _device_batches(
    loader: Iterable[dict[str, Any]], method: TrainingMethod, device: torch.device
) -> Iterator[tuple[Batch, float]]:
    """Batches on the device, and the seconds that each was waited for."""
    start = time.perf_counter()
    for raw in loader:
        waited = time.perf_counter() - start
        yield augment_batch(raw, method.views, device), waited
        start = time.perf_counter()
