"""Two rounds of the campaign of disturbed runs; `python -m tests.benchmarks campaign` plays a hundred."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.benchmarks.campaign import Bench, Round, report
from tests.benchmarks.disturbances import DISTURBANCES
from tests.project.workspace import Workspace


@pytest.fixture
def rerun(finished: Workspace, tmp_path: Path) -> Iterator[Workspace]:
    """The finished clone, whose earlier runs DVC remembers again afterwards: a round makes it forget them."""
    runs = finished.path / ".dvc/cache/runs"
    shutil.copytree(runs, tmp_path / "runs")
    yield finished
    shutil.copytree(tmp_path / "runs", runs, dirs_exist_ok=True)


@pytest.mark.slow
@pytest.mark.xdist_group("end_to_end")
@pytest.mark.parametrize("disturbance", ["a process of the stage is killed", "files may not grow"])
def test_a_disturbed_run_ends_and_loses_nothing(rerun: Workspace, disturbance: str) -> None:
    bench = Bench.of(rerun, seconds=20)
    bench.first_stages = ["cluster"]
    played = bench.play(list(DISTURBANCES).index(disturbance), random.Random(0))
    assert played.disturbance == disturbance
    assert played.is_clean, played


def test_a_round_that_lost_something_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    rounds = [Round(0, "swav", name, "dvc repro", "index", 1.0, status=1) for name in DISTURBANCES]
    assert all(one.is_clean for one in rounds)
    rounds[0].lost, rounds[1].status = 2, None
    counted = report(rounds)
    assert (counted["rounds"], counted["lost"], counted["hung"], counted["differing"]) == (len(rounds), 2, 1, 0)
    assert "Round(" in capsys.readouterr().out, "those that went wrong are shown"
    assert Round(**json.loads(json.dumps(vars(rounds[0])))) == rounds[0]
