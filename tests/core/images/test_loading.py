"""Batches made in other processes: the same as made here; whatever happens there has an end and one message."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import BatchSampler, Dataset, SequentialSampler

from stages.core.cli import guard
from stages.core.errors import UserError
from stages.core.images.loading import load
from stages.core.images.packed_batch import pack
from tests.project.rooms import ROOT


class Drawn(Dataset[dict[str, Any]]):
    """Items of every kind that a data set of this project makes."""

    def __init__(self, count: int = 10, size: int = 50) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: int) -> dict[str, Any]:
        rng = np.random.default_rng(key)
        views = [rng.integers(0, 255, (self.size, side, 3), dtype=np.uint8) for side in (1, self.size)]
        return {"views": views, "windows": rng.random((2, 5), np.float32), "maps": {"none": rng.random(0)}, "key": key}


class Refusing(Drawn):
    """Has a photograph that cannot be read."""

    def __getitem__(self, key: int) -> dict[str, Any]:
        if key == 5:
            raise self.error
        return super().__getitem__(key)

    error: Exception = UserError("ring_003.png: changed")


class Slow(Drawn):
    """Keeps its processes busy until somebody ends them."""

    def __getitem__(self, key: int) -> dict[str, Any]:
        if key > 4:
            time.sleep(60)
        return super().__getitem__(key)


def batches_of(dataset: Drawn, size: int = 4) -> BatchSampler:
    return BatchSampler(SequentialSampler(dataset), size, drop_last=False)


def loaded(monkeypatch: pytest.MonkeyPatch, workers: int, dataset: Drawn | None = None) -> list[dict[str, Any]]:
    monkeypatch.setenv("LUSS_WORKERS", str(workers))
    dataset = dataset or Drawn()
    return list(load(dataset, batches_of(dataset), prefetch=2))


def assert_equal(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_batches_are_the_same_however_many_processes_make_them(monkeypatch: pytest.MonkeyPatch) -> None:
    alone = loaded(monkeypatch, 1)
    assert [len(batch["key"]) for batch in alone] == [4, 4, 2]
    assert_equal(loaded(monkeypatch, 4), alone)


def test_all_tensors_of_a_batch_share_one_block() -> None:
    batch = {"views": [torch.arange(3, dtype=torch.uint8), torch.arange(4.0)], "none": torch.zeros(0)}
    found = pack(batch).unpack()
    torch.testing.assert_close(found, batch)
    assert found["views"][0].untyped_storage().data_ptr() == found["views"][1].untyped_storage().data_ptr()


@pytest.mark.parametrize(
    ("limit", "value", "reason"),
    [(resource.RLIMIT_FSIZE, 1000, "File too large"), (resource.RLIMIT_NOFILE, 3, "Too many open files")],
    ids=["shared memory is full", "too many open files"],
)
def test_what_cannot_be_handed_over_is_told(
    limit: int, value: int, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A limit on the size of files stands for a small /dev/shm: that is where shared memory lies."""

    class Limited(Drawn):
        def __getitem__(self, key: int) -> dict[str, Any]:
            resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))
            return super().__getitem__(key)

    with pytest.raises(UserError, match=rf"cannot hand over a batch \(.*{reason}.* /dev/shm .* set LUSS_WORKERS=1"):
        loaded(monkeypatch, 3, Limited())


@pytest.mark.parametrize("error", [UserError("ring_003.png: changed"), OSError(28, "No space left on device", "a")])
def test_an_error_there_is_the_same_error_here(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Refusing, "error", error)
    with pytest.raises(type(error)) as raised:
        loaded(monkeypatch, 2, Refusing())
    assert str(raised.value) == str(error)


def test_leaving_early_ends_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_WORKERS", "3")
    dataset = Slow()
    before = psutil.Process().children()
    batches = load(dataset, batches_of(dataset), prefetch=2)
    next(batches)
    started = [process for process in psutil.Process().children() if process not in before]
    assert len(started) == 2
    start = time.monotonic()
    batches.close()
    assert not any(process.is_running() for process in started)
    assert time.monotonic() - start < 30


def main() -> None:
    """Load in a process of its own, as a stage does; says when it has begun."""

    def work() -> None:
        dataset = Slow()
        for _ in load(dataset, batches_of(dataset), prefetch=2):
            print("begun", flush=True)

    sys.exit(guard("stage", work))


def kill_a_loader(process: psutil.Process) -> None:
    process.children()[0].kill()


@pytest.mark.parametrize(
    ("end", "status", "message"),
    [
        pytest.param(kill_a_loader, 1, "stage: a process that loads photographs was ended from outside", id="a loader"),
        pytest.param(psutil.Process.terminate, 130, "stage: interrupted", id="all by SIGTERM", marks=pytest.mark.slow),
        pytest.param(psutil.Process.kill, -9, "", id="the stage", marks=pytest.mark.slow),
    ],
)
def test_a_death_ends_all(end: Callable[[psutil.Process], None], status: int, message: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main()"],
        env=os.environ | {"LUSS_WORKERS": "4", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    loaders = psutil.Process(process.pid).children()
    end(psutil.Process(process.pid))
    try:
        _, told = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == status
    assert told.startswith(message)
    assert told.count("\n") == bool(message)
    assert psutil.wait_procs(loaders, timeout=5)[1] == []


def test_too_few_open_files_are_told_before_a_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (30, 30))
    with pytest.raises(UserError, match=r"2 processes that load photographs open \d+ files and 30 are allowed"):
        loaded(monkeypatch, 3)


def test_processes_that_cannot_start_are_told_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Semaphores lie in /dev/shm too."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", full)
    with pytest.raises(UserError, match=r"cannot start \(No space left on device\): enlarge /dev/shm"):
        loaded(monkeypatch, 3)
    assert "Traceback" not in capfd.readouterr().err
