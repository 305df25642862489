"""The one training loop."""

import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from pydantic import Field
from torch import Tensor

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.engine.checkpoint import load_newest_checkpoint, save_checkpoint
from stages.core.engine.devices import start_fabric
from stages.core.engine.history import History, Row, SpeedLog
from stages.core.engine.method import TrainingMethod, TrainingProgress
from stages.core.engine.optim import OptimiserConfig, build_optimiser, learning_rate
from stages.core.errors import UserError
from stages.core.images.dataset import Batch, EpochBatches, ViewDataset, finish_batch, load_batches, steps_per_epoch
from stages.core.params import Params
from stages.core.progress import Progress

_CHECKPOINT_SECONDS = float(os.environ.get("LUSS_CHECKPOINT_SECONDS", "30"))


class TrainingConfig(Params):
    """How long and in what steps."""

    epochs: int = Field(ge=1)
    """Passes over the training photographs."""
    batch_size: int = Field(256, ge=1)
    """Photographs per step, over all devices."""
    seed: int = Field(0, ge=0)
    """Of weights, order and views."""
    optimiser: OptimiserConfig = OptimiserConfig()


class TrainingPlan:
    """Iterations, epochs and learning rates of a training, known before it starts."""

    def __init__(self, config: TrainingConfig, photographs: int) -> None:
        self._config = config
        self._steps = steps_per_epoch(photographs, config.batch_size)
        self.iterations = config.epochs * self._steps
        self._warmup = round(config.optimiser.warmup_epochs * self._steps)
        self.clip_norm = config.optimiser.clip_norm

    def progress(self, iteration: int) -> TrainingProgress:
        """Where an iteration stands."""
        return TrainingProgress(iteration, self.iterations, iteration // self._steps, self._config.epochs)

    def epoch_note(self, done: int) -> str:
        """The epoch of the last of `done` iterations, for a progress line."""
        return f"epoch {(done - 1) // self._steps + 1}/{self._config.epochs}"

    def learning_rate(self, iteration: int) -> float:
        """The learning rate of an iteration."""
        optimiser, batch_size = self._config.optimiser, self._config.batch_size
        if optimiser.falls_every == "epoch" and iteration >= self._warmup:
            iteration = max(iteration - iteration % self._steps, self._warmup)
        return learning_rate(optimiser, batch_size, iteration, self.iterations, self._warmup)


@dataclass
class _Run:
    """Everything that changes while training; what a checkpoint holds."""

    method: TrainingMethod
    optimiser: torch.optim.Optimizer
    history: History
    iteration: int = 0
    saved: float = field(default_factory=time.monotonic)

    def save(self, work: Path) -> None:
        self.history.check_finite(self.iteration - 1)
        content = {
            "iteration": self.iteration,
            "method": self.method.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": self.history.state,
            "random": torch.get_rng_state(),
        }
        save_checkpoint(work, self.iteration, content)
        self.saved = time.monotonic()

    def save_now_and_then(self, work: Path) -> None:
        if time.monotonic() - self.saved > _CHECKPOINT_SECONDS:
            self.save(work)

    def load(self, checkpoint: dict[str, Any], work: Path) -> None:
        try:
            self._restore(checkpoint)
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"{work}: its checkpoint is of another version of this method ({str(error).splitlines()[0]}); "
                "delete that folder to train from the start"
            ) from None

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.method.load_state_dict(checkpoint["method"])
        self.optimiser.load_state_dict(checkpoint["optimiser"])
        self.history.restore(checkpoint["history"])
        torch.set_rng_state(checkpoint["random"])
        self.iteration = checkpoint["iteration"]


def train(method: TrainingMethod, config: TrainingConfig, index: ImageIndex, stage: str, work: Path) -> list[Row]:
    """Train a method in place, from its newest checkpoint in `work` if there is one.

    Args:
        method: What is trained; already seeded and initialised.
        config: How long and in what steps.
        index: The training photographs.
        stage: Stage that trains, for progress and logs.
        work: Directory of unfinished work; see `stages.core.unfinished`.

    Returns:
        The rows of history.csv.

    Raises:
        UserError: The loss is no longer a number.
    """
    fabric = start_fabric()
    fabric.to_device(method)
    method.to(memory_format=torch.channels_last).train()
    plan = TrainingPlan(config, len(index))
    run = _Run(method, build_optimiser(method, config.optimiser, config.batch_size), History(plan.iterations))
    if checkpoint := load_newest_checkpoint(work):
        run.load(checkpoint, work)
    maps = {name: open_label_maps(name) for name in method.maps}
    dataset = ViewDataset(index, method.views, maps, config.seed, method.coverage)
    batches = EpochBatches(len(index), config.batch_size, config.seed, range(run.iteration, plan.iterations))
    speed = SpeedLog(stage, work.name)
    with Progress(plan.iterations, stage, unit="steps", done=run.iteration) as bar:
        for batch, waited in _finished(load_batches(dataset, batches, fabric.device), method, fabric.device):
            _take_step(fabric, run, batch, plan)
            speed.add(len(batch.positions), waited)
            run.save_now_and_then(work)
            bar.update(run.iteration, f"{plan.epoch_note(run.iteration)} {run.history.note}")
    run.save(work)
    speed.write(fabric)
    return run.history.rows


def _take_step(fabric: Fabric, run: _Run, batch: Batch, plan: TrainingPlan) -> None:
    progress, lr = plan.progress(run.iteration), plan.learning_rate(run.iteration)
    for group in run.optimiser.param_groups:
        group["lr"] = lr * group["lr_scale"]
    with fabric.autocast():
        losses = run.method.step(batch, progress)
    fabric.backward(losses.total)
    run.method.after_gradients(progress)
    norm = _clip_gradients(run.method, plan.clip_norm)
    run.optimiser.step()
    run.optimiser.zero_grad(set_to_none=True)
    run.method.after_step(progress)
    values = {"loss": losses.total, **losses.parts, "grad_norm": norm}
    run.history.add(run.iteration, values, {"epoch": progress.epoch + 1, "lr": lr})
    run.iteration += 1


def _clip_gradients(method: TrainingMethod, largest: float) -> Tensor:
    """The norm of all gradients, which are then scaled down to `largest` where that is not 0."""
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
    if largest:
        torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1))
    return norm


def _finished(
    loader: Iterable[dict[str, Any]], method: TrainingMethod, device: torch.device
) -> Iterator[tuple[Batch, float]]:
    """Batches finished on the device, and how many seconds each was waited for."""
    start = time.perf_counter()
    for raw in loader:
        waited = time.perf_counter() - start
        yield finish_batch(raw, method.views, device), waited
        start = time.perf_counter()
