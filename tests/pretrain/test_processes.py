"""Every method in two processes computes what it does in one: its loss, its gradients, and all that it remembers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import distributed as dist

from stages.core.artifacts.image_index import read_images
from stages.core.engine.batch_norm import sync_batch_norm
from stages.core.engine.distributed import local_rows
from stages.core.engine.method import TrainingMethod, TrainingProgress
from stages.core.images.dataset import Batch
from stages.pretrain import Config
from tests.fabricate import BACKBONE, fabricate_images, label_by_folder
from tests.methods import prepare, small, union_of
from tests.two_processes import in_two_processes

TRAINED = [method for method in union_of(Config) if "training" in method.model_fields]
PLAIN: dict[str, dict[str, Any]] = {
    "maskcontrast": {
        "decoder": {"kind": "deeplabv3", "channels": 8, "rates": [1, 2, 3], "dropout": 0.0},
        "shuffle_groups": 2,
    },
    "moco_v2": {"shuffle_groups": 2},
    "pcl": {"shuffle_groups": 2},
    "odc": {"dropout": 0.0},
    "deepcluster": {"components": 2},
    "vice": {"masking": None, "queue_start_iteration": 0},
}
"""Values without which a step draws random numbers, which processes share differently."""
PHOTOGRAPHS = 4


def draw_batch(method: TrainingMethod, seed: int) -> Batch:
    """Noise; the first two photographs' views do not overlap, and objects are of many sizes."""
    generator = torch.Generator().manual_seed(seed)
    sizes = method.views.sizes
    views = [torch.randn(PHOTOGRAPHS, 3, size, size, generator=generator) for size in sizes]
    windows = torch.tensor([0.0, 0, 20, 20, 0]).repeat(PHOTOGRAPHS, len(sizes), 1)
    windows[:2, 1:2, 0] = 100
    windows[2:, 1:2, 0] = torch.tensor([[4.0], [7]])
    sides = torch.tensor([5, 9, 12, 16])[:, None, None]
    inside = [(torch.arange(size) < sides) & (torch.arange(size)[:, None] < sides) for size in sizes]
    maps = {"saliency": [each.byte() * 255 for each in inside], "superpixels": [each.int() + 1 for each in inside]}
    return Batch(views, windows, {name: maps[name] for name in method.maps}, torch.arange(PHOTOGRAPHS))


def share(batch: Batch) -> Batch:
    """This process's photographs."""
    maps = {name: [local_rows(each) for each in views] for name, views in batch.maps.items()}
    return Batch(
        [local_rows(view) for view in batch.views], local_rows(batch.windows), maps, local_rows(batch.positions)
    )


def take_steps() -> dict[str, Any]:
    """Two steps of every method on this process's share of two batches, without learning in between."""
    found = {}
    for config_type in TRAINED:
        name = config_type.model_fields["method"].default
        torch.manual_seed(0)
        method = small(config_type, **{"backbone": BACKBONE.model_dump(), **PLAIN.get(name, {})}).build().train()
        if dist.is_initialized():
            sync_batch_norm(method, torch.device("cpu"))
        prepare(method, read_images())
        losses = []
        for step in range(2):
            taken = method.step(share(draw_batch(method, step)), TrainingProgress(step, 10, 0, 5))
            taken.total.backward()
            losses.append(taken.total.detach())
        gradients = torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])
        memory = {name: value for name, value in method.named_buffers() if "num_batches" not in name}
        found[name] = {"loss": torch.stack(losses), "gradients": gradients, "memory": memory}
    return found


def test_two_processes_take_the_steps_of_one() -> None:
    label_by_folder(fabricate_images(PHOTOGRAPHS))
    first, second = in_two_processes(take_steps)
    for name, alone in take_steps().items():
        one, other = first[name], second[name]
        assert ((one["loss"] + other["loss"]) / 2).tolist() == pytest.approx(
            alone["loss"].tolist(), rel=1e-4, abs=1e-6
        ), name
        for part, value in alone["memory"].items():
            torch.testing.assert_close(one["memory"][part], value, atol=1e-4, rtol=1e-3, msg=f"{name}: {part}")
        gradients = (one["gradients"] + other["gradients"]) / 2
        assert (gradients - alone["gradients"]).norm() < 1e-2 * alone["gradients"].norm(), name
