"""Checkpoints: two kept, the newest whole one taken, a damaged or foreign one reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stages.core.engine.checkpoint import load_newest_checkpoint, save_checkpoint

WORK = Path("work")


def write(*iterations: int) -> list[Path]:
    for iteration in iterations:
        save_checkpoint(WORK, iteration, {"iteration": iteration, "weights": torch.full((100,), float(iteration))})
    return sorted(WORK.glob("checkpoint-*"))


def newest() -> int | None:
    found = load_newest_checkpoint(WORK)
    return found["iteration"] if found else None


def test_two_are_kept_and_the_newest_is_loaded() -> None:
    assert load_newest_checkpoint(WORK) is None
    paths = write(9, 10, 100)
    assert [int(path.stem.partition("-")[2]) for path in paths] == [10, 100]
    found = load_newest_checkpoint(WORK)
    assert found is not None
    assert found["iteration"] == 100
    assert torch.equal(found["weights"], torch.full((100,), 100.0))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[: len(data) // 2], "truncated or damaged"),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), "truncated or damaged"),
        (lambda data: b"", "not a checkpoint of this version"),
        (lambda data: b"PK\x03\x04 something else" * 50, "not a checkpoint of this version"),
    ],
    ids=["truncated", "flipped", "empty", "foreign"],
)
def test_a_damaged_or_foreign_one_is_reported_and_the_one_before_used(
    damage: Callable[[bytes], bytes], reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(5, 6)[-1]
    path.write_bytes(damage(path.read_bytes()))
    assert newest() == 5
    assert f"{path}: not used ({reason})" in capfd.readouterr().err


def test_a_half_written_one_is_not_seen() -> None:
    write(5)
    (WORK / "checkpoint-0000000006.pt.partial").write_bytes(b"half")
    assert newest() == 5


def test_where_all_are_damaged_training_starts_anew_and_keeps_what_it_saves() -> None:
    for path in write(50, 60):
        path.write_bytes(b"damaged")
    assert newest() is None
    write(1, 2)
    assert newest() == 2
