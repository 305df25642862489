"""Training of the student: first on the teachers' mean, then on that mean mixed with its own refined maps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional

from stages.core.engine.checkpoint import load_newest_checkpoint, save_checkpoint
from stages.core.engine.devices import seed_everything, start_fabric
from stages.core.progress import Progress
from stages.saliency.lessons import Lessons, follow_edges
from stages.saliency.maps import stretch
from stages.saliency.student import Student, normalize, predict_mirrored

_CHECKPOINT_STEPS = 50
_PREDICTED_AT_ONCE = 64
_WARMUP = 0.1


class Schedule(NamedTuple):
    """See `stages.saliency.methods.distilled.Distilled`."""

    rounds: int
    steps: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    momentum: float
    seed: int


def train_student(lessons: Lessons, schedule: Schedule, work: Path) -> Student:
    """Train a student from random weights; goes on from the newest checkpoint in `work`.

    Each round but the last ends with the student's maps, refined along the edges of the photographs, mixed into the
    targets of the next.
    """
    fabric = start_fabric()
    seed_everything(schedule.seed)
    student = Student().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(student.parameters(), schedule.learning_rate, weight_decay=schedule.weight_decay)
    state = load_newest_checkpoint(work) or {"step": 0, "targets": torch.from_numpy(lessons.targets)}
    if "student" in state:
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
    network, optimizer = fabric.setup(student, optimizer)
    total = schedule.rounds * schedule.steps
    with Progress(total, "student", "steps", done=state["step"]) as progress:
        for step in range(state["step"], total):
            for group in optimizer.param_groups:
                group["lr"] = _learning_rate(schedule, step)
            images, targets = _draw_batch(Lessons(lessons.images, state["targets"].numpy()), schedule, step)
            loss = measure_loss(network(fabric.to_device(images)), fabric.to_device(targets))
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            ends_round = (step + 1) % schedule.steps == 0 and step + 1 < total
            if ends_round:
                state["targets"] = _revise_targets(fabric, network, lessons, state["targets"], schedule.momentum)
            if ends_round or (step + 1) % _CHECKPOINT_STEPS == 0:
                state |= {"step": step + 1, "student": network.state_dict(), "optimizer": optimizer.state_dict()}
                save_checkpoint(work, step + 1, state)
            progress.update(step + 1, f"loss {loss.item():.3f}")
    return student.cpu()


def measure_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy with soft targets in 0..1, plus half of one minus the soft overlap of every image.

    The overlap keeps small objects from vanishing in the mean over pixels.
    """
    scores = torch.sigmoid(logits)
    both = (scores * targets).sum((1, 2))
    either = (scores + targets - scores * targets).sum((1, 2)).clamp_min(1)
    return functional.binary_cross_entropy_with_logits(logits, targets) + 0.5 * (1 - both / either).mean()


def _learning_rate(schedule: Schedule, step: int) -> float:
    """Linear warm-up and half a cosine in every round; rounds after the first start from trained weights, at half."""
    number, within = divmod(step, schedule.steps)
    done = (within + 1) / schedule.steps
    shape = min(done / _WARMUP, 0.5 * (1 + math.cos(math.pi * within / schedule.steps)))
    return schedule.learning_rate * shape * (0.5 if number else 1.0)


def _draw_batch(lessons: Lessons, schedule: Schedule, step: int) -> tuple[Tensor, Tensor]:
    """Images (B, 3, S, S) and targets (B, S, S) that the seed and step alone determine, mirrored and recolored."""
    rng = np.random.default_rng([schedule.seed, step])
    count = len(lessons.images)
    chosen = rng.choice(count, min(count, schedule.batch_size), replace=False)
    images = normalize(torch.from_numpy(lessons.images[chosen]))
    targets = torch.from_numpy(lessons.targets[chosen]).float() / 255
    mirrored = torch.from_numpy(rng.uniform(size=len(chosen)) < 0.5)
    images = torch.where(mirrored[:, None, None, None], images.flip(3), images)
    targets = torch.where(mirrored[:, None, None], targets.flip(2), targets)
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(chosen), 1, 1, 1)).astype(np.float32))
    tint = torch.from_numpy(rng.normal(0, 0.15, (len(chosen), 3, 1, 1)).astype(np.float32))
    return (images * gain + tint).contiguous(memory_format=torch.channels_last), targets


@torch.no_grad()
def _revise_targets(fabric: Fabric, network: nn.Module, lessons: Lessons, targets: Tensor, momentum: float) -> Tensor:
    """Moving average (N, S, S) of the targets and the student's own maps.

    Source: Nguyen et al., "DeepUSPS", NeurIPS 2019, section 3.2, with a guided filter in place of the CRF.
    """
    network.eval()
    revised = targets.clone()
    for start in range(0, len(lessons.images), _PREDICTED_AT_ONCE):
        images = lessons.images[start : start + _PREDICTED_AT_ONCE]
        scores = predict_mirrored(network, fabric.to_device(normalize(torch.from_numpy(images)))).cpu().numpy()
        own = np.stack([stretch(follow_edges(score, image)) for score, image in zip(scores, images, strict=True)])
        old = targets[start : start + len(images)].numpy()
        mixed = momentum * old + (1 - momentum) * 255 * own
        revised[start : start + len(images)] = torch.from_numpy(np.rint(mixed).astype(np.uint8))
    network.train()
    return revised


def load_student(weights: dict[str, Any]) -> Student:
    """A student that is only run."""
    student = Student().to(memory_format=torch.channels_last)
    student.load_state_dict(weights)
    return student.eval()
