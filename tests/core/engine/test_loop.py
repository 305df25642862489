"""The loop: a stopped and resumed training ends like an undisturbed one, says what it did, and stops on NaN."""

from __future__ import annotations

import copy
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.artifacts.image_index import read_images, write_images
from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig, TrainingConfig
from stages.core.config.views import CoverageConfig, CropConfig, MultiCropConfig
from stages.core.engine import devices, state
from stages.core.engine.batch_norm import GroupedBatchNorm, NormGroups
from stages.core.engine.devices import seed_everything, start_fabric
from stages.core.engine.history import History
from stages.core.engine.loop import train
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.optim import clip_gradients
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.pretrain.methods.swav.config import SwAVConfig
from tests.fabricate import fabricate_images
from tests.methods import SMALL, small

VIEWS = MultiCropConfig(crops=(CropConfig(count=1, size=8, scale=(0.3, 1.0)),))


def training(**values: object) -> TrainingConfig:
    optimizer = {"kind": "adamw", "base_lr": 0.3, "final_lr": 0.0, "warmup_epochs": 1}
    return TrainingConfig.model_validate({"epochs": 3, "batch_size": 2, "optimizer": optimizer, **values})


class Regression(TrainingMethod):
    """Predicts the mean color of a view; uses torch's random numbers, a buffer, and a hook after each step."""

    views = VIEWS

    def __init__(self, stop_at: int | None = None, nan_from: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 3, 1))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.stop_at, self.nan_from = stop_at, nan_from
        self.seen: list[TrainingProgress] = []

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        if progress.iteration == self.stop_at:
            raise KeyboardInterrupt
        self.seen.append(progress)
        loss = (self.net(batch.views[0]).mean((2, 3)) - batch.views[0].mean((2, 3))).square().mean()
        if self.nan_from is not None and progress.iteration >= self.nan_from:
            loss = loss * math.nan
        return Losses(loss, {"mean": batch.views[0].mean()})

    def after_step(self, progress: TrainingProgress) -> None:
        self.steps += 1

    def export(self) -> dict[str, nn.Module]:
        return {"backbone": self.net}


def state_of(method: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in method.state_dict().items()}


def run(method: Regression, work: str, config: TrainingConfig | None = None) -> list[dict[str, float | int]]:
    Path(work).mkdir(exist_ok=True)
    return train(method, config or training(), fabricate_images(7), "pretrain", Path(work))


@pytest.mark.parametrize("stop_at", [1, 3, 4, 8])
def test_a_stopped_and_resumed_training_is_an_undisturbed_one(stop_at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    undisturbed = Regression()
    history = run(undisturbed, "straight")
    with pytest.raises(KeyboardInterrupt):
        run(Regression(stop_at=stop_at), "stopped")
    torch.manual_seed(99)  # whatever another process starts with
    resumed = Regression()
    assert run(resumed, "stopped") == history
    assert [progress.iteration for progress in resumed.seen] == list(range(stop_at, 9))
    for name, value in state_of(undisturbed).items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_damaged_newest_checkpoint_costs_steps_but_not_the_result(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    undisturbed = Regression()
    run(undisturbed, "straight")
    with pytest.raises(KeyboardInterrupt):
        run(Regression(stop_at=5), "stopped")
    newest = sorted(Path("stopped").glob("checkpoint-*"))[-1]
    newest.write_bytes(newest.read_bytes()[:100])
    resumed = Regression()
    run(resumed, "stopped")
    assert resumed.seen[0].iteration == 4
    assert "not used (truncated or damaged)" in capfd.readouterr().err
    for name, value in state_of(undisturbed).items():
        assert torch.equal(value, resumed.state_dict()[name]), name


def test_a_finished_training_is_not_trained_again() -> None:
    first = Regression()
    history = run(first, "work")
    again = Regression()
    assert run(again, "work") == history
    assert again.seen == []
    assert torch.equal(again.net[0].weight, first.net[0].weight)


def test_progress_and_history_say_where_training_stands() -> None:
    method = Regression()
    history = run(method, "work")
    assert method.seen == [TrainingProgress(n, 9, n // 3, 3) for n in range(9)]
    assert method.steps == 9
    assert [row["iteration"] for row in history] == list(range(1, 10))
    assert [row["epoch"] for row in history] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert list(history[0]) == ["iteration", "epoch", "lr", "loss", "mean", "grad_norm"]
    base = 0.3 * 2 / 256
    assert [row["lr"] for row in history[:4]] == pytest.approx([base / 3, base * 2 / 3, base, base])
    assert all(math.isfinite(value) for row in history for value in row.values())


def test_gradients_are_scaled_down_to_the_norm_asked_for() -> None:
    network, largest = nn.Linear(4, 3), 0.5
    for scale in (10.0, 1e-3):
        twin = copy.deepcopy(network)
        for each in (network, twin):
            each.zero_grad()
            (each(torch.ones(2, 4)).sum() * scale).backward()
        norm = clip_gradients(network.parameters(), OptimizerConfig(clip_norm=largest))
        torch.testing.assert_close(norm, nn.utils.clip_grad_norm_(twin.parameters(), largest))
        for p, q in zip(network.parameters(), twin.parameters(), strict=True):
            torch.testing.assert_close(p.grad, q.grad)


def test_batch_norm_sees_the_groups_of_photographs_that_were_asked_for() -> None:
    index = fabricate_images(12)
    trained = []
    for size in (0, 2):
        seed_everything(0)
        config = small(SwAVConfig, training={**SMALL["training"], "epochs": 1, "norm_group": size})
        method = config.build()
        train(method, config.training, index, "pretrain", Path(f"groups{size}"))
        trained.append(method)
    norms = [each for each in trained[1].modules() if isinstance(each, _BatchNorm)]
    assert norms
    assert all(isinstance(norm, GroupedBatchNorm) and norm.groups == NormGroups(4, 2) for norm in norms)
    weights = [torch.cat([p.detach().flatten() for p in method.parameters()]) for method in trained]
    assert not torch.allclose(*weights)


def test_batch_norm_of_more_photographs_than_a_pass_is_refused_before_the_first_step() -> None:
    for values, passes in (({}, 2), ({"norm_group": 3}, 2), ({"norm_group": 1}, 4)):
        divided = DivisibleTrainingConfig(**training(batch_size=6, **values).model_dump(), micro_batch=passes)
        method = Regression()
        with pytest.raises(
            UserError, match=rf"pretrain\.training\.micro_batch = {passes}: batch norm .*norm_group to {passes}"
        ):
            run(method, "refused", divided)
        assert not method.seen


def test_batch_norm_that_learns_nothing_allows_passes_of_any_size() -> None:
    method = Regression()
    method.net[1] = nn.GroupNorm(2, 4)
    rows = run(method, "uneven", DivisibleTrainingConfig(**training(batch_size=8).model_dump(), micro_batch=3))
    assert len(method.seen) == 3 * len({progress.iteration for progress in method.seen})
    assert rows


def test_a_step_of_one_photograph_is_too_few_where_batch_norm_sees_one_value() -> None:
    method = Regression()
    method.net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    with pytest.raises(
        UserError, match=r"^pretrain: 1 photograph a step is too few for batch norm.*at least two photo"
    ):
        run(method, "single", training(batch_size=1))


def test_a_method_sees_views_that_its_coverage_allows_only() -> None:
    index = fabricate_images(7)
    empty = [LabelMap(image_id, 32, 32, np.zeros((32, 32), np.uint8)) for image_id in index.image_ids]
    write_label_maps("saliency", "drawn", empty)
    method = Regression()
    method.maps, method.coverage = ("saliency",), CoverageConfig()
    Path("work").mkdir()
    with pytest.raises(UserError, match="none has views whose saliency mask is within the limits"):
        train(method, training(), index, "pretrain", Path("work"))


def test_photographs_that_are_all_the_same_are_refused() -> None:
    index = fabricate_images(7)
    for position in range(1, 7):
        shutil.copy(f"data/{index[0].path}", f"data/{index[position].path}")
    photos = [index[position]._replace(content_hash="same") for position in range(7)]
    write_images(photos, [], "folder")
    with pytest.raises(UserError, match="all 7 photographs are one and the same"):
        train(Regression(), training(), read_images(), "pretrain", Path("work"))


def test_the_last_good_checkpoint_is_named_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    with pytest.raises(UserError, match=r"good checkpoint is kept: work/checkpoint-0000000004\.pt"):
        run(Regression(nan_from=4), "work")
    assert [path.name for path in sorted(Path("work").glob("*"))] == [f"checkpoint-000000000{n}.pt" for n in (3, 4)]


def test_speeds_stand_in_the_log_alone() -> None:
    history = run(Regression(), "work")
    log = json.loads(Path("logs/pretrain/work.json").read_text())
    assert log["images_per_second"] > 0
    assert log["device"] == "cpu"
    assert not set(log) & set(history[0])


@pytest.mark.parametrize("nan_from", [2, 8])
def test_a_loss_that_is_no_number_stops_with_what_to_do(nan_from: int) -> None:
    with pytest.raises(UserError, match=rf"diverged by iteration {nan_from + 1}: loss = nan.*base_lr is too high"):
        run(Regression(nan_from=nan_from), "work")


def test_long_histories_are_means_over_stretches_and_miss_no_iteration() -> None:
    history = History(1205)
    for iteration in range(1205):
        history.add(iteration, {"loss": torch.tensor(float(iteration))}, {"lr": 0.1})
    assert [row["iteration"] for row in history.rows[:2]] == [2, 4]
    assert [row["loss"] for row in history.rows[:2]] == [0.5, 2.5]
    assert history.rows[-1] == {"iteration": 1205, "lr": 0.1, "loss": 1204.0}
    assert len(history.rows) == 603
    assert history.progress_note == "loss 1204.000"


def test_a_nan_in_the_last_incomplete_stretch_is_found() -> None:
    history = History(1205)
    for iteration in range(1204):
        history.add(iteration, {"loss": torch.tensor(1.0)}, {})
    with pytest.raises(UserError, match="diverged by iteration 1205"):
        history.add(1204, {"loss": torch.tensor(math.inf)}, {})


def test_devices_that_are_not_there_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_DEVICE", "tpu")
    with pytest.raises(UserError, match="LUSS_DEVICE='tpu': must be one of cpu, cuda, mps"):
        run(Regression(), "work")
    monkeypatch.setenv("LUSS_DEVICE", "cpu")
    monkeypatch.setenv("LUSS_PRECISION", "fp8")
    with pytest.raises(UserError, match="LUSS_PRECISION='fp8'"):
        run(Regression(), "work")


def test_memory_that_is_allocated_is_not_filled() -> None:
    torch.utils.deterministic.fill_uninitialized_memory = True  # As torch has it.
    start_fabric()
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.utils.deterministic.fill_uninitialized_memory


def test_bf16_trains_fp32_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSS_PRECISION", "bf16")
    method = Regression()
    kinds = []
    method.net[0].register_forward_hook(lambda module, given, result: kinds.append(result.dtype))
    history = run(method, "work", training(epochs=1))
    assert set(kinds) == {torch.bfloat16}
    assert method.net[0].weight.dtype == torch.float32
    assert all(math.isfinite(row["loss"]) for row in history)


def test_on_a_gpu_attention_adds_in_one_order(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("flash", "mem_efficient", "cudnn")
    before = {kind: getattr(torch.backends.cuda, f"{kind}_sdp_enabled")() for kind in kinds}
    try:
        start_fabric()
        assert {kind: getattr(torch.backends.cuda, f"{kind}_sdp_enabled")() for kind in kinds} == before, "on the CPU"
        monkeypatch.setattr(devices, "inference_device", lambda: torch.device("cuda"))
        start_fabric()
        assert not any(getattr(torch.backends.cuda, f"{kind}_sdp_enabled")() for kind in kinds)
        assert torch.backends.cuda.math_sdp_enabled()
    finally:
        for kind, enabled in before.items():
            getattr(torch.backends.cuda, f"enable_{kind}_sdp")(enabled)
