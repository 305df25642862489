"""What holds of every training method, whatever it does: used by the tests of each stage that trains."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from torch import nn

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine import loop, state
from stages.core.engine.history import Row
from stages.core.engine.method import TrainingMethod, TrainingProgress
from stages.core.engine.survey import SurveyedMethod, survey
from stages.core.images.dataset import Batch, EpochBatches, ViewDataset, augment_batch, load_batches
from tests.fabricate import BACKBONE

OPTIMIZER = {"kind": "adamw", "base_lr": 0.32, "final_lr": 0.0, "weight_decay": 1e-4}
"""0.005 at four photographs a batch."""
SMALL: dict[str, Any] = {
    # Dropped paths make steps depend on torch's random numbers, so that a resume must restore them.
    "backbone": {**BACKBONE.model_dump(), "drop_path": 0.1},
    "decoder": {"kind": "fpn", "channels": 16},
    "projector": {"hidden": 16, "projected": 8, "last_norm": False},
    "pixel_hidden": 16,
    "hidden": 16,
    "projected": 8,
    "negatives": 4,
    "prototypes": 6,
    "queue": 8,
    "queue_start_epoch": 0,
    "freeze_prototypes": 0,
    "short_side": 32,
    "training": {"epochs": 3, "batch_size": 4, "optimizer": OPTIMIZER},
}
"""Values that make any method small; a method takes those that it has a field for."""
TWO_VIEWS = {"crops": [{"count": 2, "size": 32, "scale": [0.5, 1]}]}
CENTER = {"resize": 32, "size": 32}
SMALL_OF: dict[str, dict[str, Any]] = {
    "maskcontrast": {
        "backbone": {**SMALL["backbone"], "output_stride": 8},
        "decoder": {"kind": "deeplabv3", "channels": 8, "rates": [1, 2, 3], "dropout": 0.1},
        "temperature": 0.2,
        # A batch: of two that come by turns it is the other one, or the queue would hold the batch's own objects.
        "queue": 4,
        "momentum": {"value": 0.5, "schedule": "fixed"},
        "shuffle_groups": 1,
    },
    "dino": {
        "head": {"hidden": 16, "bottleneck": 8, "prototypes": 6},
        # A center that stands and a slow teacher: targets that stand still enough to be learnt in thirty steps.
        "teacher_temperature": {"warmup_epochs": 1},
        "center_momentum": 0.999,
        "momentum": {"value": 0.999, "schedule": "cosine"},
        "freeze_last_layer": 0,
    },
    # It becomes the teacher in every epoch but the first.
    "transfgu": {
        "decoder": None,
        "blocks": 1,
        "size": [32, 32],
        "bootstrapping": {"start": 1, "intervals": [1], "passes": 1},
    },
    "byol": {"views": TWO_VIEWS, "momentum": {"value": 0.999}},
    "pixpro": {"views": TWO_VIEWS, "momentum": {"value": 0.9}},
    "moco_v2": {"momentum": {"value": 0.9}, "shuffle_groups": 1},
    "picie": {"views": TWO_VIEWS, "clusters": 3, "points": 4},
    "iic": {"clusters": 3, "overclusters": 4, "points": 6, "shift": 1},
    "npid": {"negatives": 100},
    "deepcluster": {"clusters": 3, "components": 4, "surveyed": CENTER},
    "odc": {"clusters": 3, "smallest": 1, "refresh": 2, "dropout": 0.1, "surveyed": CENTER},
    "pcl": {
        "clusters": [2, 3],
        "warmup_epochs": 0,
        "momentum": {"value": 0.9},
        "shuffle_groups": 1,
        "surveyed": CENTER,
    },
    # Every region is remembered, and two centroids of each category's four are sought.
    "rca": {"memory": {"confidence": 0.0}, "aggregation": {"centroids": 2}, "crf": {"iterations": 1}},
    "seam": {"maps": {"scales": [0.5, 1.0], "flip": True}, "crf": {"iterations": 1}},
    "sc_cam": {"maps": {"scales": [1.0]}, "crf": {"iterations": 1}, "sub_categories": 2, "rounds": 2},
    # Two regions a photograph: most of them stay, or there is nothing to learn from.
    "vice": {"masking": {"side": 0.1, "spared": 0.9}, "queue_start_iteration": 2},
}
"""Values that make one method small."""
SMALL_CROPS = ({"count": 2, "size": 32, "scale": [0.5, 1]}, {"count": 2, "size": 24, "scale": [0.2, 0.5]})
EPOCH = 3
"""Steps of an epoch over the fabricated photographs."""


def union_of(config: Any) -> list[Any]:
    """The config classes of a stage: the members of its union, or the only one."""
    union = get_args(config)
    return list(get_args(union[0]) or [union[0]]) if union else [config]


def small(config_type: Any, **values: Any) -> Any:
    """The method's config, with whatever can be small made so and everything else as it is by default."""
    fields = {name: value for name, value in SMALL.items() if name in config_type.model_fields}
    if "views" in config_type.model_fields:
        fields["views"] = small_views(config_type().views.model_dump())
    own = SMALL_OF.get(config_type.model_fields["method"].default, {})
    return config_type.model_validate({**fields, **own, **values})


def small_views(views: dict[str, Any]) -> dict[str, Any]:
    """The views of a method, fewer and of few pixels."""
    if "shares" in views:
        return {**views, "size": 64}
    if "crops" not in views:
        return {**views, "size": 24, "count": 3, "side": (32, 32)}
    crops = [{**crop, "count": min(crop["count"], 2)} for crop in SMALL_CROPS[: len(views["crops"])]]
    if views["crops"][0]["count"] == 1 < len(views["crops"]):  # Each large view is a group of its own.
        crops = [{**crops[0], "count": 1}, *crops]
    crops[0]["count"] = min(views["crops"][0]["count"], 2)
    return {**views, "crops": crops}


def prepare(method: TrainingMethod, index: ImageIndex) -> None:
    """What the loop does before the first step."""
    method.lay_out(index)
    if isinstance(method, SurveyedMethod):
        survey(method, index, 0, 0)


def load_two_batches(method: TrainingMethod, index: ImageIndex, seed: int = 0) -> list[Batch]:
    prepare(method, index)
    dataset = ViewDataset(index, method.views, method.open_maps(), seed)
    loader = load_batches(dataset, EpochBatches(len(index), 4, seed, range(2)), torch.device("cpu"))
    return [augment_batch(raw, method.views, torch.device("cpu")) for raw in loader]


def check_one_step_is_finite(method: TrainingMethod, index: ImageIndex) -> None:
    losses = method.step(load_two_batches(method, index)[0], TrainingProgress(0, 1, 0, 1))
    assert losses.total.ndim == 0
    assert losses.total.requires_grad
    for value in (losses.total, *losses.parts.values()):
        assert torch.isfinite(value)
    losses.total.backward()
    gradients = [p.grad for p in method.parameters() if p.grad is not None]
    assert gradients
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def check_thirty_steps_lower_the_loss(method: TrainingMethod, index: ImageIndex) -> None:
    batches = load_two_batches(method, index)
    optimizer = torch.optim.AdamW(method.parameters(), 3e-3)
    losses = []
    for iteration in range(30):
        progress = TrainingProgress(iteration, 30, iteration // 2, 15)
        loss = method.step(batches[iteration % 2], progress).total
        loss.backward()
        method.after_gradients(progress)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step(progress)
        losses.append(loss.item())
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4]), losses


def train_small(method: TrainingMethod, config: Any, index: ImageIndex, work: str) -> list[Row]:
    Path(work).mkdir(exist_ok=True)
    return loop.train(method, config.training, index, "pretrain", Path(work))


def stop_at(method: TrainingMethod, iteration: int) -> TrainingMethod:
    """Let a method raise in the middle of a step, as a signal would."""
    step = method.step

    def stopping(batch: Batch, progress: TrainingProgress) -> Any:
        losses = step(batch, progress)
        if progress.iteration == iteration:
            raise KeyboardInterrupt
        return losses

    method.step = stopping  # type: ignore[method-assign]
    return method


def check_resumes_exactly(build: Any, config: Any, index: ImageIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in the middle of the second epoch and taken up: the same bytes as a run left alone."""
    monkeypatch.setattr(state, "_CHECKPOINT_SECONDS", -1.0)
    undisturbed, resumed = build(), build()
    history = train_small(undisturbed, config, index, "straight")
    with pytest.raises(KeyboardInterrupt):
        train_small(stop_at(build(), EPOCH + 1), config, index, "stopped")
    torch.manual_seed(99)
    assert train_small(resumed, config, index, "stopped") == history
    check_equal(undisturbed, resumed)


def check_passes_add_up(build: Any, config_type: Any, index: ImageIndex, **values: Any) -> None:
    """Steps of passes over four photographs learn what steps over all twelve at once do; with batch norm over fours.

    Without dropout, and in double: batch norm and ReLU enlarge the last digits.
    """
    if "backbone" in config_type.model_fields:
        values["backbone"] = BACKBONE.model_dump()
    optimizer = {"kind": "sgd", "base_lr": 0.02, "final_lr": 0.01}
    training = {**SMALL["training"], "batch_size": 12, "norm_group": 4, "optimizer": optimizer}
    histories, states = [], []
    for at_once in (0, 4):
        config = small(config_type, **values, training={**training, "micro_batch": at_once})
        method = in_double(build(config))
        before = {name: value.detach().clone() for name, value in method.named_parameters()}
        histories.append(train_small(method, config, index, f"passes of {at_once}"))
        states.append(method.state_dict())
    whole, divided = states
    for row, expected in zip(*reversed(histories), strict=True):
        assert row == pytest.approx(expected, rel=1e-5, abs=1e-6)
    for name, value in whole.items():
        torch.testing.assert_close(divided[name], value, atol=1e-5, rtol=1e-5)
    moved, apart = (
        sum((one[name] - other[name]).double().square().sum() for name in before).sqrt()
        for one, other in ((whole, before), (divided, whole))
    )
    assert apart < 1e-4 * moved


def in_double(method: TrainingMethod) -> TrainingMethod:
    step, lay_out = method.step, method.lay_out

    def lay_out_precisely(index: ImageIndex) -> None:
        lay_out(index)
        method.double()

    def step_precisely(batch: Batch, progress: TrainingProgress) -> Any:
        return step(batch._replace(views=[view.double() for view in batch.views]), progress)

    patch = pytest.MonkeyPatch()
    patch.setattr(method, "step", step_precisely)
    patch.setattr(method, "lay_out", lay_out_precisely)
    return method.double()


def check_equal(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name]), name
