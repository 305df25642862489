"""What holds of training methods on a GPU: tried on one, and where there is none as far as shapes and devices go."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException, FakeTensorMode

from stages.core.engine.method import TrainingMethod, TrainingProgress
from stages.core.images.dataset import Batch

FIRST = TrainingProgress(0, 1, 0, 1)
LOSSES, GRADIENTS = 0.02, 0.1
"""How far a GPU may be from the CPU, both in float32 of other kernels: of the loss, and of the gradients' length."""


def send(batch: Batch, place: Callable[[Tensor], Tensor]) -> Batch:
    """A batch all of whose tensors are elsewhere."""
    return Batch(*(_send(value, place) for value in batch))


def _send(value: Any, place: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return place(value)
    if isinstance(value, dict):
        return {name: _send(each, place) for name, each in value.items()}
    return [_send(each, place) for each in value] if isinstance(value, list) else value


def check_no_tensor_stays_on_the_cpu(method: TrainingMethod, batch: Batch) -> bool:
    """A step on a GPU that is not there: torch computes shapes and devices only, and refuses to mix the latter.

    Returns:
        Whether the step was followed to its end: what a method reads from a tensor (which are above a limit) does not
        exist there.
    """
    mode = FakeTensorMode()

    def pretend(value: Tensor) -> Tensor:
        there = mode.from_tensor(value.detach())
        with mode:
            return there.to("cuda")

    known: dict[int, Tensor] = {}
    for module in method.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                there = known.setdefault(id(parameter), pretend(parameter))
                module._parameters[name] = nn.Parameter(there, parameter.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = known.setdefault(id(buffer), pretend(buffer))
    pretended = send(batch, pretend)
    with mode:
        try:
            losses = method.step(pretended, FIRST)
        except (DataDependentOutputException, DynamicOutputShapeException):
            return False
    assert losses.total.device.type == "cuda"
    assert {value.device.type for value in losses.parts.values()} <= {"cuda"}
    return True


def check_a_step_as_on_the_cpu(method: TrainingMethod, batch: Batch) -> None:
    """Loss and gradients of one step on a GPU beside those on the CPU."""
    other = copy.deepcopy(method).to("cuda")
    torch.manual_seed(0)
    expected = method.step(batch, FIRST).total
    expected.backward()
    torch.manual_seed(0)
    got = other.step(send(batch, lambda value: value.to("cuda")), FIRST).total
    got.backward()
    assert got.item() == pytest.approx(expected.item(), rel=LOSSES)
    for (name, parameter), (_, twin) in zip(method.named_parameters(), other.named_parameters(), strict=True):
        if parameter.grad is None:
            assert twin.grad is None, name
            continue
        assert twin.grad is not None, name
        apart = (twin.grad.cpu() - parameter.grad).norm()
        assert apart <= GRADIENTS * parameter.grad.norm() + 1e-5, name
