"""Slots of runs with a temporary server: taken in turn, and given back even by a kill."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows.pipeline import concurrency_limits
from flows.pipeline.concurrency_limits import concurrency_slots
from tests.project.rooms import ROOT

HOLD = """
from flows.pipeline.concurrency_limits import concurrency_slots
with concurrency_slots(["gpu"], lambda: False):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """Another run that holds the only slot."""
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    monkeypatch.setattr(concurrency_limits, "PREFECT_HOME", type("Home", (), {"value": lambda: tmp_path}))
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_the_slot_of_a_run_that_was_killed_is_free(holder: subprocess.Popen[str]) -> None:
    looks = iter(range(999))

    def kill_at_the_second_look() -> bool:
        if next(looks) == 1:
            holder.kill()
        return False

    with disable_run_logger(), concurrency_slots(["gpu"], kill_at_the_second_look):
        assert holder.wait(10) != 0
    assert next(looks) >= 2, "it was waited for"


def test_waiting_ends_with_the_run(holder: subprocess.Popen[str]) -> None:
    begun = time.monotonic()
    with disable_run_logger(), concurrency_slots(["gpu"], lambda: time.monotonic() > begun + 1):
        assert holder.poll() is None
