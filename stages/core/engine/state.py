"""The state of a running training, and its saving to and resuming from checkpoints."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stages.core.engine.checkpoint import load_newest_checkpoint, newest_checkpoint
from stages.core.engine.checkpoint_writer import CheckpointWriter
from stages.core.engine.diagnosis import diagnose, has_collapsed
from stages.core.engine.distributed import broadcast, gather, rank
from stages.core.engine.history import History, Row
from stages.core.engine.method import TrainingMethod
from stages.core.errors import UserError

_CHECKPOINT_SECONDS = float(given) if (given := os.environ.get("LUSS_CHECKPOINT_SECONDS")) else None
"""Between checkpoints; None for as many as saving them costs little."""


@dataclass
class TrainingState:
    """A method in training, with all that a resumed run needs to end in the same bytes."""

    method: TrainingMethod
    optimizer: torch.optim.Optimizer
    history: History
    work: Path
    """Where its checkpoints lie."""
    iteration: int = 0
    """Iterations done."""
    writer: CheckpointWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = CheckpointWriter(self.work, _CHECKPOINT_SECONDS)

    def save(self) -> None:
        """Have a checkpoint written beside the training; called in all processes, the first writes."""
        self.history.check_finite(self.iteration - 1)
        random = gather(_random_state()[None])
        if rank() == 0:
            content = {
                "iteration": self.iteration,
                "method": self.method.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "history": self.history.state,
                "random": random,
            }
            self.writer.save(self.iteration, content)
        self.writer.restart_clock()

    def save_periodically(self) -> None:
        """Save if the last checkpoint is old; the clock of the first process decides for all."""
        is_old = torch.tensor(self.writer.is_due)
        if broadcast(is_old) and not has_collapsed(self.history.rows):
            self.save()

    def add_to_history(self, values: dict[str, Tensor], plain: dict[str, float | int], iterations: int) -> Row | None:
        """Add an iteration's values to the history; returns the row that this completes, if any.

        Raises:
            UserError: Training goes wrong; the checkpoints from before are kept.
        """
        try:
            row = self.history.add(self.iteration, values, plain)
            self.iteration += 1
            if row and (trouble := diagnose(self.history.rows, iterations, self.method.expected)):
                raise UserError(trouble)
        except UserError as error:
            with suppress(OSError):
                self.writer.wait()
            kept = newest_checkpoint(self.work)
            raise UserError(f"{error}. {f'The last good checkpoint is kept: {kept}' if kept else ''}".strip()) from None
        return row

    def resume(self) -> None:
        """Restore the newest checkpoint, if there is one.

        Raises:
            UserError: It is of another version of the method.
        """
        checkpoint = load_newest_checkpoint(self.work) if rank() == 0 else None
        broadcast(torch.zeros(1))  # The first process removes what is damaged before the others look.
        checkpoint = checkpoint or load_newest_checkpoint(self.work)
        try:
            self._restore(checkpoint or {})
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"{self.work}: its checkpoint is of another version of this method ({str(error).splitlines()[0]}); "
                "delete that folder to train from the start"
            ) from None

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        if not checkpoint:
            return _offset_random_state()
        self.method.load_state_dict(checkpoint["method"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.history.restore(checkpoint["history"])
        self.iteration = checkpoint["iteration"]
        if rank() < len(checkpoint["random"]):
            return _restore_random_state(checkpoint["random"][rank()])
        return _offset_random_state(self.iteration)


def _offset_random_state(iteration: int = 0) -> None:
    """Give every process its own random numbers; the first keeps those of a single-process run."""
    if number := rank():
        torch.manual_seed(torch.initial_seed() + number + (iteration << 16))


def _random_state() -> Tensor:
    """State of torch's generators, the GPU's behind the CPU's."""
    states = [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_available() else [])]
    return torch.cat(states)


def _restore_random_state(state: Tensor) -> None:
    cpu = len(torch.get_rng_state())
    torch.set_rng_state(state[:cpu])
    if torch.cuda.is_available() and len(state) > cpu:
        torch.cuda.set_rng_state(state[cpu:])
