"""The frame of the benchmarks: every module fits it, and the clock is fair."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest

from stages.core.errors import UserError
from tests.benchmarks import __main__ as frame
from tests.benchmarks.pixels import score_apart
from tests.benchmarks.timing import alternate, alternate_wall
from tests.benchmarks.vice import group_by_name


@pytest.mark.parametrize("name", frame.names())
def test_a_benchmark_fits_the_frame(name: str) -> None:
    module = importlib.import_module(f"tests.benchmarks.{name}")
    assert module.__doc__
    assert callable(module.run)


def test_the_result_is_the_last_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    noop = importlib.import_module("tests.benchmarks.noop")
    monkeypatch.setattr(noop, "run", lambda args: print("a table") or {"rounds": args.rounds, "data": str(args.data)})
    frame.main(["noop", "--rounds", "2", "--data", "photos"])
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {"rounds": 2, "data": "photos"}


@pytest.mark.parametrize("clock", [alternate, alternate_wall])
def test_candidates_take_turns_after_one_call_each(clock) -> None:
    called: list[str] = []
    seconds = clock({"a": lambda: called.append("a"), "b": lambda: called.append("b")}, 3)
    assert called == ["a", "b"] * 4
    assert set(seconds) == {"a", "b"}
    assert all(taken >= 0 for taken in seconds.values())


def test_groups_are_scored_by_the_match_of_the_others() -> None:
    """Worked by hand: two drives; cluster 1 is mostly class 1 in the first one and class 2 in the second."""
    first = [[0, 0, 0], [0, 6, 2], [0, 0, 8]]  # (clusters + 1, classes + 1)
    second = [[0, 0, 0], [0, 1, 5], [0, 0, 4]]
    score = score_apart(np.array([first, second, second]), ["a", "b", "b"])
    # a by b's match, in which both clusters are class 2: IoU 0 and 10 / 16; b by a's: 2 / 12 and 8 / 18.
    assert score.miou == pytest.approx(100 * (10 / 16 / 2 + (2 / 12 + 8 / 18) / 2) / 2)
    assert score.accuracy == pytest.approx(100 * (10 / 16 + 10 / 20) / 2)


def test_names_that_all_begin_alike_are_no_groups() -> None:
    names = ["images/train/0001TP_006690", "images/train/0016E5_00390"]
    assert group_by_name(names, 6) == ["0001TP", "0016E5"]
    with pytest.raises(UserError, match=r"--apart 2: .*'00'"):
        group_by_name(names, 2)
