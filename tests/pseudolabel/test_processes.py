"""Methods that train on tags compute in two processes what they do in one: losses, gradients and what they keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed as dist

from stages.core.artifacts.image_index import ImageIndex, Photo, read_images, write_images
from stages.core.engine.batch_norm import sync_batch_norm
from stages.core.engine.distributed import local_rows
from stages.core.engine.method import TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import build_features
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import GroupTraining
from tests.fabricate import BACKBONE
from tests.methods import small
from tests.pseudolabel.test_trained import TRAINED
from tests.two_processes import in_two_processes

PHOTOGRAPHS = 4
TAGS = np.array([[0, 2], [1, -1], [2, -1], [0, 1]])
CONTRAST = {"start_epoch": 0, "weight": 1.0}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "rca": ("rca", {"contrast": CONTRAST, "accumulation": {"start_epoch": 0, "confidence": 0.0, "side": 4}}),
    "rca released": ("rca", {"contrast": CONTRAST, "variant": "released", "memory": {"confidence": 0.0, "size": 3}}),
    "rca with saliency": ("rca", {"contrast": CONTRAST, "saliency_loss": {"overlap": 0.1}}),
    "seam": ("seam", {"dropout": 0.0}),
    "sc_cam": ("sc_cam", {}),
}
"""Method and values: those without which a step draws random numbers, which processes share differently, or says too
little."""


def listed() -> ImageIndex:
    write_images(
        [Photo(f"train/{n}", "train", f"{n}.png", 32, 32, 1, str(n)) for n in range(PHOTOGRAPHS)], [], "folder"
    )
    return read_images()


def take_steps(folder: str = "shared") -> dict[str, Any]:
    """Two steps of every method on this process's share of a batch, without learning in between."""
    found = {}
    tags = Tags(read_images(), TAGS, 3)
    images = torch.randn(PHOTOGRAPHS, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    windows = torch.tensor([[0.0, 0, 32, 32, 0], [4, 0, 16, 20, 1], [0, 8, 24, 24, 0], [8, 8, 16, 16, 1]])
    salient = {"saliency": [local_rows((255 * images[:, 0].sigmoid()).int())]}
    batch = Batch([local_rows(images)], local_rows(windows[:, None]), salient, local_rows(torch.arange(PHOTOGRAPHS)))
    types = {each.model_fields["method"].default: each for each in TRAINED}
    for name, (of, values) in CONFIGS.items():
        torch.manual_seed(0)
        method = small(types[of], **values).build(build_features(BACKBONE, None), tags).train()
        method.open_files(Path(folder))
        if isinstance(method, GroupTraining):
            method.take_groups(np.where(TAGS < 0, -1, 2 * TAGS + 1))
        if dist.is_initialized():
            sync_batch_norm(method, torch.device("cpu"))
        losses = []
        for step in range(2):
            progress = TrainingProgress(step, 2, step, 2)
            taken = method.step(batch, progress)
            taken.total.backward()
            method.after_step(progress)
            losses.append(taken.total.detach())
        gradients = torch.cat([p.grad.flatten() for p in method.parameters() if p.grad is not None])
        memory = {name: value for name, value in method.named_buffers() if "num_batches" not in name}
        if (kept := method.accumulated) is not None:
            if dist.is_initialized():
                dist.barrier()  # The first process writes for both.
            memory["accumulated"] = torch.from_numpy(np.concatenate([kept.of(row) for row in range(PHOTOGRAPHS)]))
        found[name] = {"loss": torch.stack(losses), "gradients": gradients, "memory": memory}
    return found


def test_two_processes_take_the_steps_of_one() -> None:
    listed()
    Path("shared").mkdir()
    first, second = in_two_processes(take_steps)
    assert {of for of, _ in CONFIGS.values()} == {each.model_fields["method"].default for each in TRAINED}
    for name, alone in take_steps("alone").items():
        one, other = first[name], second[name]
        assert ((one["loss"] + other["loss"]) / 2).tolist() == pytest.approx(alone["loss"].tolist(), rel=1e-4), name
        for part, value in alone["memory"].items():
            step = 1 / 255 if part == "accumulated" else 0.0
            torch.testing.assert_close(one["memory"][part], value, atol=1e-4 + step, rtol=1e-3, msg=f"{name}: {part}")
            assert part != "accumulated" or value.any((1, 2)).sum() > 3
        gradients = (one["gradients"] + other["gradients"]) / 2
        assert (gradients - alone["gradients"]).norm() < 1e-2 * alone["gradients"].norm(), name
