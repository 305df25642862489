"""What a stage told of its progress becomes seconds per step, and those the seconds of a run, by hand."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from flows.estimate.estimating import estimate_stage
from flows.estimate.trial import STEPS, Loop, StageTrial, Trial, _find_loops, run_trial
from flows.recipes.composing import Recipe, compose
from stages.core.errors import UserError
from tests.project.rooms import ROOT


def test_loops_begin_where_less_is_done() -> None:
    told = [(5.0, 1, 3), (7.0, 2, 3), (9.0, 3, 3), (10.0, 1, 24), (21.5, 24, 24), (25.5, 8, 8)]
    assert _find_loops(told, 0.0) == [Loop(2.0, 3), Loop(0.5, 24), Loop(0.5, 8)], (
        "the last was told of once, at its end"
    )


def test_steps_grow_to_those_of_the_run_and_photographs_to_all() -> None:
    training = {"training": {"epochs": 3, "batch_size": 20}}
    stages = {"finetune": StageTrial(30.0, [Loop(2.0, 3), Loop(0.5, 24)]), "cluster": StageTrial(4.0, [])}
    trial = Trial({"finetune": training, "cluster": {}}, 24, 7.0, stages)
    run = {"training": {"epochs": 10, "batch_size": 40}}
    assert estimate_stage("finetune", trial, run, 240) == pytest.approx((30 - 6 - 12) + 4 * 10 * 6 + 0.5 * 240 + 7)
    assert estimate_stage("cluster", trial, {}, 240) == 4


def test_stages_run_in_one_process_and_a_failing_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Real photographs, real steps of each training."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "dvc.yaml", ".")
    Path("data").mkdir()
    for number in range(30):
        Image.effect_noise((40, 40), 10 + 5 * number).convert("RGB").save(f"data/{number}.png")
    sections = compose(Recipe("rotation", "folder", ("shared.resize=32", "shared.classes=3")))
    Path("trial").mkdir()
    trial = run_trial(sections, Path("trial"))
    assert (trial.photographs, list(trial.stages)) == (24, list(sections))
    assert trial.sections["pretrain"]["training"]["batch_size"] == 24
    assert [loop.total for loop in trial.stages["pretrain"].loops] == [STEPS]
    assert all(estimate_stage(stage, trial, sections[stage], 30) > 0 for stage in sections)
    assert trial.loading > 0
    Path("again").mkdir()
    with pytest.raises(UserError, match=r"the stage superpixels ends .* superpixels\.method"):
        run_trial({**sections, "superpixels": {"method": "stars"}}, Path("again"))
