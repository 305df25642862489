"""The frame of the benchmarks: every module fits it, and the clock is fair."""

from __future__ import annotations

import importlib
import json

import pytest

from tests.benchmarks import __main__ as frame
from tests.benchmarks.timing import alternate, alternate_wall


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
