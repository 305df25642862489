"""Progress lines: how many, how fast, how long still."""

import re

import pytest

from stages.core import progress
from stages.core.progress import Progress, track


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_lines_come_once_a_second_with_rate_and_time_left(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(600, "photographs") as bar:
        for done in range(1, 301):
            clock.now += 0.01
            bar.update(done)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[-1] == "[progress] 201/600 photographs 100.0 images/s 4 s left"


def test_the_last_line_always_comes(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(2, "epochs", unit="epochs") as bar:
        bar.update(1, "loss 3.1")
        clock.now += 0.1
        bar.update(2, "loss 2.9")
    assert capsys.readouterr().err.splitlines()[-1] == "[progress] 2/2 epochs loss 2.9"


def test_what_was_done_before_does_not_count_as_speed(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(10_000, "photographs", done=9_000) as bar:
        clock.now += 10
        bar.update(9_100)
    assert capsys.readouterr().err == "[progress] 9100/10000 photographs 10.0 images/s 1 min 30 s left\n"


def test_track_yields_every_item_and_counts_them(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track("abc", label="letters", unit="letters")) == ["a", "b", "c"]
    assert list(track(iter("ab"), total=2)) == ["a", "b"]
    assert re.findall(r"(\d+/\d+)", capsys.readouterr().err) == ["1/3", "3/3", "1/2", "2/2"]


def test_hours_are_told_as_hours(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(1000, "photographs") as bar:
        clock.now += 3600
        bar.update(100)
    assert "9 h 00 min left" in capsys.readouterr().err


def test_slow_work_has_a_rate_above_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(171, "pretraining", unit="steps") as bar:
        clock.now += 15
        bar.update(0)
        bar.update(1)
        clock.now += 15
        bar.update(2)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[progress] 0/171 pretraining"
    assert lines[-1] == "[progress] 2/171 pretraining 0.067 steps/s 42 min 15 s left"
