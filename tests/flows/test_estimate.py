"""What a stage told of its progress becomes seconds per step, and those the seconds of a run, by hand."""

from __future__ import annotations

import pytest

from flows.estimate.estimating import estimate_stage
from flows.estimate.trial import Loop, StageTrial, Trial, _find_loops


def test_loops_begin_where_less_is_done() -> None:
    told = [(5.0, 1, 3), (7.0, 2, 3), (9.0, 3, 3), (10.0, 1, 24), (21.5, 24, 24), (25.5, 8, 8)]
    assert _find_loops(told, 0.0) == [Loop(2.0, 3), Loop(0.5, 24), Loop(0.5, 8)], (
        "the last was told of once, at its end"
    )


def test_steps_grow_to_those_of_the_run_and_photographs_to_all() -> None:
    training = {"training": {"epochs": 3, "batch_size": 20}}
    stages = {"finetune": StageTrial(30.0, [Loop(2.0, 3), Loop(0.5, 24)]), "cluster": StageTrial(4.0, [])}
    trial = Trial({"finetune": training, "cluster": {}}, 24, stages)
    run = {"training": {"epochs": 10, "batch_size": 20}}
    assert estimate_stage("finetune", trial, run, 240) == pytest.approx((30 - 6 - 12) + 2 * 10 * 12 + 0.5 * 240)
    assert estimate_stage("cluster", trial, {}, 240) == 4
