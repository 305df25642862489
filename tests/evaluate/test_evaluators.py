"""What the table says of its evaluators agrees with the pipeline, and with what they do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from stages.core.artifacts.shards import ARTIFACTS
from stages.core.errors import UserError
from stages.evaluate import CoherenceConfig, Config, DistanceMatchingConfig, ObjectProtocolConfig
from stages.evaluate.__main__ import main
from stages.evaluate.evaluators.table import EVALUATORS, label_uses
from tests.evaluate.project import write_project
from tests.project.rooms import ROOT


def test_names_are_unique_and_what_is_needed_is_a_dependency_of_the_stage() -> None:
    deps = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["evaluate"]["deps"]
    assert len({each.name for each in EVALUATORS}) == len(EVALUATORS)
    for each in EVALUATORS:
        assert each.measures
        assert {f"artifacts/{name}" for name in each.needs} <= set(deps)


def test_only_what_is_asked_for_runs_and_counts_as_a_use_of_labels() -> None:
    everything = Config(objects=ObjectProtocolConfig(), coherence=CoherenceConfig(), neighbors=DistanceMatchingConfig())
    assert all(each.is_wanted(everything) for each in EVALUATORS)
    assert {each.name for each in EVALUATORS if each.is_wanted(Config())} == {"clustering", "predictions", "checks"}
    assert label_uses(Config()) == []
    assert label_uses(everything) == ["neighbors vote by masks of the train split"]


def test_what_an_evaluator_needs_is_missed_before_anything_is_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_project(images_per_class=1)
    shutil.rmtree(ARTIFACTS / "extract")
    capsys.readouterr()
    with pytest.raises(UserError, match=r"artifacts/extract/manifest\.json: no such file; .*dvc repro extract"):
        main(Config(objects=ObjectProtocolConfig()))
    assert "score" not in capsys.readouterr().err
    assert not (ARTIFACTS / "evaluate").exists()
