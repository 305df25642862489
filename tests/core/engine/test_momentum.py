"""The momentum copy by hand, its momentum over time, and the mixing of batches."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from stages.core.config.training import MomentumConfig
from stages.core.engine.method import TrainingProgress
from stages.core.engine.momentum import MomentumCopy, restore_order, shuffle_batch


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))


def test_parameters_follow_and_the_network_is_left_alone() -> None:
    source = network()
    teacher = MomentumCopy(source)
    start, moved = source[0].weight.detach().clone(), torch.full((3, 3), 5.0)
    nn.init.constant_(source[0].weight, 5.0)
    torch.testing.assert_close(teacher.network[0].weight, start)
    for _ in range(2):
        teacher.update(source, 0.9)
    torch.testing.assert_close(teacher.network[0].weight, 0.81 * start + 0.19 * moved)
    torch.testing.assert_close(source[0].weight, moved)


def test_no_gradient_reaches_the_copy_and_its_state_is_saved() -> None:
    source = network()
    teacher = MomentumCopy(source)
    assert not any(p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in source.parameters())
    assert not teacher(torch.ones(2, 3)).requires_grad
    assert set(teacher.state_dict()) == {f"network.{name}" for name in source.state_dict()}


@pytest.mark.parametrize("buffers", ["copy", "own"])
def test_running_statistics_are_taken_over_or_kept(buffers: str) -> None:
    source = network()
    teacher = MomentumCopy(source, buffers)
    source(torch.full((4, 3), 7.0))
    teacher(torch.full((4, 3), -3.0))
    kept = teacher.network[1].running_mean.clone()
    teacher.update(source, 0.5)
    expected = source[1].running_mean if buffers == "copy" else kept
    assert torch.equal(teacher.network[1].running_mean, expected)
    assert not torch.equal(kept, source[1].running_mean)


def test_the_momentum_is_fixed_or_grows_to_one() -> None:
    at = [TrainingProgress(iteration, 100, 0, 1) for iteration in (0, 50, 100)]
    assert [MomentumConfig(value=0.99).at(progress) for progress in at] == [0.99] * 3
    cosine = MomentumConfig(value=0.996, schedule="cosine")
    assert [cosine.at(progress) for progress in at] == pytest.approx([0.996, 0.998, 1.0])


def test_a_mixed_batch_comes_back_in_order() -> None:
    batch = torch.arange(32.0)[:, None].repeat(1, 2)
    mixed, order = shuffle_batch(batch)
    assert not torch.equal(mixed, batch)
    assert sorted(mixed[:, 0].tolist()) == batch[:, 0].tolist()
    assert torch.equal(restore_order(mixed * 2, order), batch * 2)
    torch.manual_seed(5)
    first = shuffle_batch(batch)[0]
    torch.manual_seed(5)
    assert torch.equal(shuffle_batch(batch)[0], first)
