"""LARC against plain Python, the learning rate at the ends, the groups of AdamW."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.engine.larc import LARC
from stages.core.engine.loop import TrainingPlan
from stages.core.engine.optim import build_optimizer, clip_gradients, learning_rate, set_rates, weight_decay
from stages.core.errors import UserError

START = {"weight": [3.0, -4.0, 0.5], "bias": [0.0, 0.0], "small": [1e-3]}


def gradients(step: int) -> dict[str, list[float]]:
    """Different each step; `small` has none in the second."""
    return {
        "weight": [0.5 * (step + 1), -1.0, 2.0 - step],
        "bias": [1.0, -0.5 * step],
        "small": [0.0] if step == 1 else [2.0],
    }


def norm(values: list[float]) -> float:
    return math.sqrt(sum(value * value for value in values))


def plain_larc(steps: int, lr: float, momentum: float, decay: float) -> dict[str, list[float]]:
    """Per parameter: a = 0.001 |p| / (|g| + wd |p| + 1e-8), g <- a (g + wd p) where both norms are non-zero; SGD."""
    params = {name: list(values) for name, values in START.items()}
    speeds: dict[str, list[float]] = {}
    for step in range(steps):
        for name, gradient in gradients(step).items():
            p, g = params[name], list(gradient)
            if norm(p) != 0 and norm(g) != 0:
                rate = 0.001 * norm(p) / (norm(g) + decay * norm(p) + 1e-8)
                g = [rate * (gi + decay * pi) for gi, pi in zip(g, p, strict=True)]
            old = speeds.get(name)
            speeds[name] = g if old is None else [momentum * vi + gi for vi, gi in zip(old, g, strict=True)]
            params[name] = [pi - lr * vi for pi, vi in zip(p, speeds[name], strict=True)]
    return params


@pytest.mark.parametrize("decay", [0.0, 1e-6, 0.1])
def test_larc_equals_its_equation(decay: float) -> None:
    params = {name: nn.Parameter(torch.tensor(values, dtype=torch.float64)) for name, values in START.items()}
    optimizer = LARC(params.values(), lr=0.6, momentum=0.9, weight_decay=decay)
    for step in range(4):
        for name, gradient in gradients(step).items():
            params[name].grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
    for name, expected in plain_larc(4, 0.6, 0.9, decay).items():
        torch.testing.assert_close(params[name].detach(), torch.tensor(expected, dtype=torch.float64))


def test_larc_leaves_a_parameter_without_gradient_alone() -> None:
    moved, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = LARC([moved, frozen], lr=1.0, momentum=0.9, weight_decay=0.1)
    moved.grad = torch.ones(2)
    optimizer.step()
    assert torch.equal(frozen, torch.ones(2))
    assert not torch.equal(moved, torch.ones(2))


def test_larcs_state_comes_back() -> None:
    def trained(steps: range, state: dict | None, p: nn.Parameter) -> LARC:
        optimizer = LARC([p], lr=0.5, momentum=0.9, weight_decay=0.1)
        if state:
            optimizer.load_state_dict(state)
        for step in steps:
            p.grad = torch.tensor([1.0, step])
            optimizer.step()
        return optimizer

    straight, stopped = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    trained(range(4), None, straight)
    state = trained(range(2), None, stopped).state_dict()
    trained(range(2, 4), state, stopped)
    assert torch.equal(straight, stopped)


def test_the_rate_goes_from_base_to_final_by_a_cosine() -> None:
    config = OptimizerConfig(base_lr=0.6, final_lr=0.0006)
    rates = [learning_rate(config, 256, iteration, 100, 0) for iteration in range(101)]
    assert rates[0] == 0.6
    assert rates[50] == pytest.approx((0.6 + 0.0006) / 2)
    assert rates[100] == pytest.approx(0.0006)
    assert rates == sorted(rates, reverse=True)


def test_the_rate_agrees_with_torchs_cosine() -> None:
    config = OptimizerConfig(base_lr=0.3, final_lr=0.01)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.3)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20, eta_min=0.01)
    for iteration in range(20):
        assert learning_rate(config, 256, iteration, 20, 0) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cosine.step()


def test_the_rate_warms_up_and_scales_with_the_batch() -> None:
    config = OptimizerConfig(base_lr=0.4, final_lr=0.0)
    assert [learning_rate(config, 128, i, 20, 4) for i in range(5)] == pytest.approx([0.05, 0.1, 0.15, 0.2, 0.2])
    assert learning_rate(config, 128, 20, 20, 4) == pytest.approx(0, abs=1e-12)
    assert learning_rate(config, 256, 1, 2, 2) == 0.4  # nothing but warm-up


def test_a_plan_counts_whole_batches_and_epochs() -> None:
    optimizer = OptimizerConfig(base_lr=0.256, final_lr=0.0, warmup_epochs=0.5)
    plan = TrainingPlan(TrainingConfig(epochs=3, batch_size=10, optimizer=optimizer), photographs=45)
    assert plan.iterations == 12
    assert [plan.progress(iteration).epoch for iteration in (0, 3, 4, 11)] == [0, 0, 1, 2]
    assert plan.learning_rate(0) == pytest.approx(0.005)
    assert plan.learning_rate(2) == pytest.approx(0.01)


def rates(config: OptimizerConfig, warmup: int = 0) -> list[float]:
    return [learning_rate(config, 256, iteration, 20, warmup) for iteration in range(20)]


def test_the_rate_agrees_with_torchs_poly() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.3)
    poly = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=20, power=0.9)
    for rate in rates(OptimizerConfig(base_lr=0.3, final_lr=0.0, schedule="poly", power=0.9)):
        assert rate == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        poly.step()


def test_a_rate_that_falls_once_does_so_after_40_of_60_epochs() -> None:
    """As torch's MultiStepLR, at the beginning of the epoch."""
    config = OptimizerConfig(base_lr=0.4, final_lr=0.04, schedule="step")
    plan = TrainingPlan(TrainingConfig(epochs=60, batch_size=256, optimizer=config), 7 * 256)
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.4)
    steps = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[40 * 7], gamma=0.1)
    for iteration in range(60 * 7):
        assert plan.learning_rate(iteration) == pytest.approx(optimizer.param_groups[0]["lr"])
        optimizer.step()
        steps.step()


def test_a_constant_rate_is_constant_after_a_warm_up_from_its_start() -> None:
    config = OptimizerConfig(base_lr=0.4, warmup_lr=0.2, schedule="constant")
    assert rates(config, warmup=4) == pytest.approx([0.25, 0.3, 0.35] + [0.4] * 17)


def test_a_rate_that_falls_every_epoch_stands_still_in_between() -> None:
    values = {"base_lr": 0.4, "final_lr": 0.0, "schedule": "poly", "lr_step": "epoch", "warmup_epochs": 0.5}
    plan = TrainingPlan(TrainingConfig(epochs=3, batch_size=256, optimizer=OptimizerConfig(**values)), 4 * 256)
    epochs = [0.4, 0.4 * (1 - 2 / 10) ** 0.9, 0.4 * (1 - 6 / 10) ** 0.9]
    expected = [0.2, 0.4, *[epochs[0]] * 2, *[epochs[1]] * 4, *[epochs[2]] * 4]
    assert [plan.learning_rate(iteration) for iteration in range(12)] == pytest.approx(expected)


def small_network() -> nn.Sequential:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    network[2].weight.requires_grad_(False)
    return network


def test_vectors_decay_only_if_asked_for() -> None:
    network = small_network()
    config = OptimizerConfig(kind="adamw", base_lr=0.1, weight_decay=0.5, decay_norm_and_bias=False)
    decayed, free = build_optimizer(network, config, 64).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.5, 0.0)
    assert [p.shape for p in decayed["params"]] == [network[0].weight.shape]
    assert len(free["params"]) == 4
    assert decayed["lr"] == pytest.approx(0.025)
    assert decayed["betas"] == (0.9, 0.999)
    (everything,) = build_optimizer(network, config.model_copy(update={"decay_norm_and_bias": True}), 64).param_groups
    assert len(everything["params"]) == 5


def test_rates_are_scaled_by_the_longest_beginning_of_a_name() -> None:
    network = small_network()
    config = OptimizerConfig(kind="sgd", lr_scales={"0": 0.1, "0.bias": 0.5})
    scales = {
        id(p): group["lr_scale"]
        for group in build_optimizer(network, config, 256).param_groups
        for p in group["params"]
    }
    assert [scales.get(id(p)) for p in network.parameters()] == [0.1, 0.5, 1, 1, None, 1]
    with pytest.raises(UserError, match="lr_scales: no parameter's name begins with 'backbone'; there are: 0, 1, 2"):
        build_optimizer(network, OptimizerConfig(lr_scales={"backbone": 0.1}), 256)


def test_lars_equals_lightlys() -> None:
    from lightly.utils.lars import LARS

    ours, theirs = nn.Linear(4, 3), nn.Linear(4, 3)
    theirs.load_state_dict(ours.state_dict())
    config = OptimizerConfig(kind="lars", base_lr=0.5, weight_decay=0.1, decay_norm_and_bias=False)
    groups = [{"params": [theirs.weight], "weight_decay": 0.1}, {"params": [theirs.bias], "weight_decay": 0.0}]
    optimizers = [build_optimizer(ours, config, 256), LARS(groups, lr=0.5, momentum=0.9)]
    for step in range(4):
        for network, optimizer in zip((ours, theirs), optimizers, strict=True):
            for p in network.parameters():
                p.grad = torch.linspace(-1, step, p.numel()).view_as(p)
            optimizer.step()
    for p, expected in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(p, expected)


def test_sgd_is_torchs() -> None:
    method = nn.Linear(2, 2)
    optimizer = build_optimizer(method, OptimizerConfig(kind="sgd", weight_decay=0.5, momentum=0.8), 256)
    assert type(optimizer) is torch.optim.SGD
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["momentum"]) == (0.6, 0.5, 0.8)


def test_weight_decay_goes_along_a_cosine_and_spares_vectors() -> None:
    network = small_network()
    config = OptimizerConfig(kind="adamw", weight_decay=0.04, final_weight_decay=0.4, decay_norm_and_bias=False)
    decays = [weight_decay(config, iteration, 10) for iteration in range(11)]
    assert decays[0] == pytest.approx(0.04)
    assert decays[5] == pytest.approx(0.22)
    assert decays[10] == pytest.approx(0.4)
    assert weight_decay(OptimizerConfig(weight_decay=0.1), 7, 10) == 0.1
    optimizer = build_optimizer(network, config, 256)
    set_rates(optimizer, 0.2, 0.3)
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.2, 0.3), (0.2, 0.0)]


def test_larcs_decay_stays_within_its_scaling() -> None:
    (group,) = (optimizer := build_optimizer(small_network(), OptimizerConfig(weight_decay=0.5), 256)).param_groups
    set_rates(optimizer, 0.1, 0.25)
    assert (group["scaled_decay"], group["weight_decay"]) == (0.25, 0)


def test_every_parameter_can_be_clipped_by_its_own_norm() -> None:
    network, twin = nn.Linear(4, 3), nn.Linear(4, 3)
    for each in (network, twin):
        each.weight.grad, each.bias.grad = torch.full((3, 4), 2.0), torch.full((3,), 1e-3)
    norm = clip_gradients(network.parameters(), OptimizerConfig(clip_norm=0.5, clip_each=True))
    torch.testing.assert_close(norm, torch.tensor((12 * 4 + 3e-6) ** 0.5))
    for p, q in zip(network.parameters(), twin.parameters(), strict=True):
        nn.utils.clip_grad_norm_([q], 0.5)
        torch.testing.assert_close(p.grad, q.grad)


def test_adams_decay_is_a_part_of_the_gradient_and_without_gradients_nothing_moves() -> None:
    """The first step of Adam is the sign of gradient and decay together; AdamW's would be that of the gradient."""
    weight = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        weight.weight.copy_(torch.tensor([[2.0, -2.0]]))
    config = OptimizerConfig(kind="adam", base_lr=0.1, weight_decay=1.0)
    optimizer = build_optimizer(weight, config, 256)
    assert float(clip_gradients(weight.parameters(), config)) == 0
    optimizer.step()
    assert weight.weight.tolist() == [[2.0, -2.0]]
    weight.weight.grad = torch.tensor([[-1.0, -1.0]])
    optimizer.step()
    torch.testing.assert_close(weight.weight, torch.tensor([[1.9, -1.9]]))
