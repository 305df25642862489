"""Several processes train as one: batch norm, batches, the whole of SwAV; and when one is killed all end."""

from __future__ import annotations

import copy
import csv
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
import yaml
from PIL import Image
from torch import distributed as dist
from torch import nn

from stages.core.engine.batch_norm import ALL, GroupedBatchNorm, NormGroups, sync_batch_norm
from stages.core.engine.distributed import gather, local_rows
from stages.core.engine.launch import processes_to_start
from stages.core.engine.momentum import restore_order, shuffle_batch
from stages.core.engine.online_clustering import Queue, sinkhorn
from stages.core.errors import UserError
from stages.pretrain.methods.rotation.config import RotationConfig
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.fabricate import fabricate_images, index_again
from tests.methods import small
from tests.two_processes import in_two_processes

ROOT = Path(__file__).parents[3]
THREES = NormGroups(8, 3)
"""Of eight photographs, a group of three and one of the other five, which lies in both processes."""
OPTIMIZER = {"kind": "larc", "base_lr": 0.6, "final_lr": 0.0}
together = pytest.mark.xdist_group("of_two")
"""On one worker, so that the two processes start once."""


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of two processes computes that know each other."""
    return in_two_processes(compute_together, tmp_path_factory.mktemp("two"))


def compute_together() -> dict[str, Any]:
    """What the tests below ask for, in one of the processes."""
    return {**everything_shared(), **uneven()}


def normalize(x: torch.Tensor, groups: NormGroups | None) -> dict[str, Any]:
    """Batch norms of each kind, twice, and the gradients of a loss that no sample's share of can be told apart."""
    torch.manual_seed(0)
    norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3, momentum=None), nn.BatchNorm2d(3, affine=False)])
    nn.init.normal_(norms[0].weight)
    nn.init.normal_(norms[0].bias)
    if groups:
        sync_batch_norm(norms, torch.device("cpu"), groups)
    x = x.clone().requires_grad_()
    outputs = [norm(norm(x) * 3 + 1) for norm in norms]
    weights = torch.linspace(-1, 2, 8)[:, None, None, None].expand(8, 3, 5, 5)
    loss = sum((local_rows(weights) * output.sin()).sum() for output in outputs)
    loss.backward()
    return {"outputs": outputs, "input": x.grad, "state": norms.state_dict(), "weight": norms[0].weight.grad}


def photographs() -> torch.Tensor:
    return (
        torch.randn(8, 3, 5, 5, generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 9, 0.1])[:, None, None]
        + torch.tensor([50.0, 0, -1])[:, None, None]
    )


def uneven() -> dict[str, Any]:
    """Five rows of one process and two of the other, into a queue that holds six; no rows; and whole numbers."""
    rank = dist.get_rank()
    rows = torch.arange(21.0).view(7, 3)
    queue = Queue(views=1, length=6, size=3)
    queue.push(0, rows[:5] if rank == 0 else rows[5:])
    return {
        "uneven": queue.embeddings,
        "none": gather(rows[: 4 * rank]),
        "nowhere": gather(rows[:0]),
        "whole": gather(torch.arange(3 - rank)),
    }


@together
def test_processes_gather_different_numbers_of_rows(of_two: list[dict[str, Any]]) -> None:
    rows = torch.arange(21.0).view(7, 3)
    for found in of_two:
        assert torch.equal(found["uneven"], rows[None, :6])
        assert torch.equal(found["none"], rows[:4])
        assert found["nowhere"].shape == (0, 3)
        assert found["whole"].tolist() == [0, 1, 2, 0, 1]


def everything_shared() -> dict[str, Any]:
    norms = normalize(local_rows(photographs()), ALL)
    scores = torch.linspace(-1, 1, 80).sin().view(16, 5)
    queue = Queue(views=1, length=8, size=5)
    queue.push(0, local_rows(scores[:4]))
    queue.push(0, local_rows(scores[4:8]))
    mixed, order = shuffle_batch(local_rows(scores))
    return {
        **norms,
        "grouped": normalize(local_rows(photographs()), THREES),
        "codes": sinkhorn(local_rows(scores), 0.05),
        "queue": queue.embeddings,
        "queue_share": queue.share(0),
        "mixed": gather(mixed),
        "back": restore_order(mixed, order),
    }


@together
def test_two_processes_compute_what_one_does_alone(of_two: list[dict[str, Any]]) -> None:
    first, second = of_two
    torch.manual_seed(0)
    whole = normalize(photographs(), None)
    grouped = normalize(photographs(), THREES)
    scores = torch.linspace(-1, 1, 80).sin().view(16, 5)

    def joined(name: str) -> torch.Tensor:
        return torch.cat([first[name], second[name]])

    check_norms(first, second, whole)
    check_norms(first["grouped"], second["grouped"], grouped)
    assert not torch.allclose(grouped["input"], whole["input"], atol=1e-2)
    torch.testing.assert_close(joined("codes"), sinkhorn(scores, 0.05))
    alone = Queue(views=1, length=8, size=5)
    alone.push(0, scores[:4])
    alone.push(0, scores[4:8])
    assert torch.equal(first["queue"], alone.embeddings)
    assert torch.equal(joined("queue_share"), alone.embeddings[0])
    assert sorted(first["mixed"][:, 0].tolist()) == sorted(scores[:, 0].tolist())
    assert not torch.equal(first["mixed"], scores)
    assert torch.equal(joined("back"), scores)


def check_norms(first: dict[str, Any], second: dict[str, Any], alone: dict[str, Any]) -> None:
    for number, expected in enumerate(alone["outputs"]):
        got = torch.cat([first["outputs"][number], second["outputs"][number]])
        torch.testing.assert_close(got, expected, atol=2e-5, rtol=2e-5)
    got = torch.cat([first["input"], second["input"]])
    torch.testing.assert_close(got, alone["input"], atol=2e-5, rtol=2e-4)
    torch.testing.assert_close(first["weight"] + second["weight"], alone["weight"], atol=1e-4, rtol=1e-4)
    for name, value in alone["state"].items():
        torch.testing.assert_close(first["state"][name], value)


@pytest.mark.parametrize(("size", "groups"), [(3, [[0, 1, 2], [3, 4, 5, 6]]), (7, [[0, 1, 2, 3, 4, 5, 6]])])
def test_groups_are_normed_as_if_each_were_alone(size: int, groups: list[list[int]]) -> None:
    """Two views of seven photographs, one view below the other; what is left over joins the last group."""
    torch.manual_seed(0)
    x, weights = torch.randn(14, 3, 4, 5) * 2 + 5, torch.randn(14, 3, 4, 5)
    plain = nn.Sequential(nn.BatchNorm2d(3))
    grouped = nn.Sequential(GroupedBatchNorm.like(nn.BatchNorm2d(3), NormGroups(7, size)))
    given, expected, statistics = x.clone().requires_grad_(), x.clone().requires_grad_(), []
    result = grouped(given)
    (result * weights).sum().backward()
    for group in groups:
        norm, rows = copy.deepcopy(plain), [*group, *(number + 7 for number in group)]
        alone = norm(expected[rows])
        torch.testing.assert_close(result[rows], alone, atol=1e-5, rtol=1e-5)
        (alone * weights[rows]).sum().backward()
        statistics.append(torch.stack([norm[0].running_mean, norm[0].running_var]))
    torch.testing.assert_close(given.grad, expected.grad, atol=1e-5, rtol=1e-4)
    found = torch.stack([grouped[0].running_mean, grouped[0].running_var])
    torch.testing.assert_close(found, torch.stack(statistics).mean(0))
    part = torch.randn(5, 3, 2, 2)
    torch.testing.assert_close(grouped(part), plain(part), atol=1e-5, rtol=1e-5)  # no whole view: one group


def test_batch_norms_with_an_activation_keep_it() -> None:
    from timm.layers import BatchNormAct2d

    norm = BatchNormAct2d(3).eval()
    synced = GroupedBatchNorm.like(BatchNormAct2d(3), ALL).eval()
    torch.testing.assert_close(synced(photographs()), norm(photographs()))
    assert synced.state_dict().keys() == norm.state_dict().keys()


def write_project(config_type: Any = SwAVConfig, **training: Any) -> None:
    """Photographs and params.yaml for SwAV with a queue, or another method; nothing draws random numbers in a step.

    Nothing in it enlarges the last digits either: the photographs differ, or batch norm would; the network is smooth,
    or max pooling and ReLU would send a gradient here or there by them.
    """
    index = fabricate_images(64)
    rng = np.random.default_rng(0)
    blocks = np.kron(rng.integers(0, 156, (64, 4, 4, 3)), np.ones((1, 8, 8, 1)))
    for position, pixels in enumerate((blocks + rng.integers(0, 100, blocks.shape)).astype(np.uint8)):
        Image.fromarray(pixels).save(f"data/{index[position].path}")
    index_again(index)
    values = {"epochs": 10, "batch_size": 32, "optimizer": OPTIMIZER, **training}
    queue = {"queue": 64} if config_type is SwAVConfig else {}
    config = small(config_type, **queue, backbone={"name": "test_efficientnet"}, training=values)
    Path("params.yaml").write_text(yaml.safe_dump({"pretrain": config.model_dump(mode="json")}))


def start_pretraining(processes: int, **environment: str) -> subprocess.Popen[str]:
    chosen = {"LUSS_PROCESSES": str(processes), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, "-m", "stages.pretrain"]
    return subprocess.Popen(command, env=os.environ | chosen, stderr=subprocess.PIPE, text=True)


def losses() -> list[float]:
    with Path("artifacts/pretrain/history.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
def test_two_processes_at_half_the_batch_are_one_at_the_full_batch() -> None:
    write_project()
    traces = []
    for processes in (1, 2):
        started = start_pretraining(processes)
        _, said = started.communicate()
        assert started.returncode == 0, said
        traces.append(losses())
    assert len(traces[0]) == 20
    assert traces[1] == pytest.approx(traces[0], abs=1e-5)
    assert max(traces[0]) - min(traces[0]) > 0.1, "something was learnt"
    assert not list(Path(".checkpoints").glob("*/*"))


@pytest.mark.slow
def test_two_processes_that_take_steps_in_passes_are_one_at_the_full_batch() -> None:
    traces = []
    for processes, passes in ((1, {}), (2, {"micro_batch": 4})):
        write_project(RotationConfig, epochs=5, norm_group=4, **passes)
        _, said = start_pretraining(processes).communicate()
        traces.append(losses())
        assert not said.count("Traceback"), said
    assert traces[1] == pytest.approx(traces[0], abs=1e-5)
    assert max(traces[0]) - min(traces[0]) > 1e-2, "steps differ by far more than rounding"


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="NCCL wants a GPU for each process")
def test_two_gpus_at_half_the_batch_are_one_at_the_full_batch() -> None:
    write_project()
    traces = []
    for processes in (1, 2):
        _, said = start_pretraining(processes, LUSS_DEVICE="cuda", LUSS_PRECISION="fp32").communicate()
        traces.append(losses())
        assert "nccl" not in said.lower(), said
    assert traces[1] == pytest.approx(traces[0], abs=1e-3)


@pytest.mark.slow
def test_one_that_is_killed_ends_all_and_one_process_goes_on() -> None:
    write_project(epochs=200)
    started = start_pretraining(2, LUSS_CHECKPOINT_SECONDS="0")
    while not list(Path(".checkpoints").glob("pretrain/*/*.pt")):
        assert started.poll() is None
        time.sleep(0.1)
    training = psutil.Process(started.pid).children()
    training[1].kill()
    _, said = started.communicate(timeout=60)
    assert started.returncode == 1
    assert "Traceback" not in said
    assert "pretrain: process 2 of 2 was ended from outside (SIGKILL), most often because memory ran out" in said
    assert not any(process.is_running() for process in training)
    alone = start_pretraining(1)
    assert alone.stderr is not None
    first = next(line for line in alone.stderr if line.startswith("[progress]"))
    alone.terminate()
    assert int(first.partition(" ")[2].partition("/")[0]) > 1, "it goes on where they stopped"
    alone.communicate()


@pytest.mark.parametrize(
    ("given", "message"),
    [("two", "LUSS_PROCESSES='two': must be a whole number from 1"), ("3", "3 processes cannot share the 8 photo")],
)
def test_a_wrong_number_of_processes_is_refused(given: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_PROCESSES", given)
    with pytest.raises(UserError, match=message):
        processes_to_start(8)


def test_alone_by_default_where_there_is_no_gpu_and_inside_of_a_launched_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LUSS_PROCESSES", raising=False)
    assert processes_to_start(8) == 1
    monkeypatch.setenv("LUSS_PROCESSES", "2")
    assert processes_to_start(8) == 2
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    assert processes_to_start(8) == 1
