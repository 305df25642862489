"""Checkpoints beside the training: of the state when they were asked for, as often as they are cheap, errors told."""

from __future__ import annotations

import errno
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.core.engine import checkpoint_writer
from stages.core.engine.checkpoint import Checkpoint, load_newest_checkpoint
from stages.core.engine.checkpoint_writer import CheckpointWriter

WORK = Path("work")


def test_what_is_written_is_the_state_when_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    may_write, write = threading.Event(), checkpoint_writer.save_checkpoint

    def late(*given: object) -> None:
        may_write.wait()
        write(*given)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", late)
    weights, rows = torch.ones(3), [{"loss": 1.0}]
    writer = CheckpointWriter(WORK)
    with writer:
        writer.save(5, {"method": OrderedDict(weights=weights), "history": {"rows": rows, "pair": (weights, 2)}})
        weights.zero_()
        rows.append({"loss": 2.0})
        may_write.set()
    found = load_newest_checkpoint(WORK)
    assert found["method"]["weights"].tolist() == found["history"]["pair"][0].tolist() == [1, 1, 1]
    assert found["history"]["rows"] == [{"loss": 1.0}]


def test_the_interval_follows_what_saving_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint_writer.time, "monotonic", lambda: now[0])
    costs = iter([0.01, 1.0, 60.0])

    def write(work: Path, iteration: int, content: Checkpoint) -> None:
        now[0] += next(costs)

    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", write)
    writer, intervals = CheckpointWriter(WORK), []
    for _ in range(3):
        writer.save(1, {})
        writer.wait()
        intervals.append(writer.interval)
    assert intervals == [30, pytest.approx(200), 300]
    writer.restart_clock()
    assert not writer.is_due
    now[0] += 301
    assert writer.is_due


def end(writer: CheckpointWriter) -> None:
    with writer:
        pass


def ask(writer: CheckpointWriter) -> None:
    while not writer.is_due:
        time.sleep(0.001)


def fail_to_write(*given: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "work/checkpoint")


@pytest.mark.parametrize("notice", [ask, end, lambda writer: writer.save(2, {})], ids=["next step", "end", "next"])
def test_a_full_disk_is_told_in_the_training(
    notice: Callable[[CheckpointWriter], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", fail_to_write)
    writer = CheckpointWriter(WORK)
    writer.save(1, {})
    with pytest.raises(OSError, match="No space left"):
        notice(writer)
    writer.wait()


def test_what_went_wrong_first_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_writer, "save_checkpoint", fail_to_write)

    def interrupted() -> None:
        with CheckpointWriter(WORK) as writer:
            writer.save(1, {})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
