"""Worker processes have numbers, by which they share GPUs."""

from __future__ import annotations

import multiprocessing

import pytest
import torch

from stages.core import processes
from stages.core.cli import worker_number
from stages.core.engine.devices import inference_device


def test_workers_share_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LUSS_DEVICE", raising=False)
    assert worker_number() == 0
    assert inference_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(processes, "exit_with_parent", lambda: None)
    monkeypatch.setenv("LUSS_WORKER_NUMBER", "0")  # taken back after the test
    started, devices = multiprocessing.Value("i", 0), []
    for _ in range(4):  # as each process begins
        processes._start_worker(started)
        devices.append(str(inference_device()))
    assert devices == ["cuda", "cuda:1", "cuda:0", "cuda:1"]
