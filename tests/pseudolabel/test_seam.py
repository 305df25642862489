"""SEAM's correlation of pixels and its losses beside slow, obvious forms, and where gradients reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stages.core.artifacts.models import read_model
from stages.core.engine.method import TrainingProgress
from stages.pseudolabel.activation.rounds import restore_backbone
from stages.pseudolabel.methods.seam.config import SEAMConfig
from stages.pseudolabel.methods.seam.correlation import (
    correlate,
    keep_strongest,
    mean_of_hardest,
    mean_of_weakest,
    normalize_maps,
    with_background,
)
from tests.methods import load_two_batches, small
from tests.pseudolabel.test_trained import fabricate_inputs, tags_for


def test_every_pixel_takes_the_maps_of_those_that_look_alike() -> None:
    described, maps = torch.randn(2, 4, 2, 3), torch.rand(2, 3, 2, 3)
    found = correlate(described, maps)
    for b in range(2):
        pixels = described[b].flatten(1).T
        cosines = np.array([[max(float(p @ q / p.norm() / q.norm()), 0) for q in pixels] for p in pixels])
        weights = cosines / cosines.sum(0)
        expected = maps[b].flatten(1).numpy() @ weights
        np.testing.assert_allclose(found[b].flatten(1), expected, rtol=1e-4, atol=1e-5)


def test_maps_are_normalized_and_the_background_is_what_they_leave() -> None:
    maps = torch.randn(2, 3, 4, 4)
    maps[0, 1] = -1.0
    found = normalize_maps(maps)
    assert not found[0, 1].any(), "nothing of it is above 0"
    torch.testing.assert_close(found.amax((2, 3))[1], torch.ones(3), atol=1e-3, rtol=0)
    kept = keep_strongest(found)
    assert ((kept > 0).sum(1) <= 1).all()
    torch.testing.assert_close(kept.amax(1), found.amax(1))
    torch.testing.assert_close(with_background(found)[:, 0], 1 - found.amax(1))


def test_hard_and_weak_places_are_the_extremes_of_each_photograph() -> None:
    maps = torch.randn(3, 2, 4, 5)
    weak = [np.sort(each.amax(0).flatten().numpy())[:5].clip(0).mean() for each in maps]
    assert float(mean_of_weakest(maps, 0.25)) == pytest.approx(float(np.mean(weak)), rel=1e-5)
    hard = [np.sort(each.abs().flatten().numpy())[-8:].mean() for each in maps]
    assert float(mean_of_hardest(maps, 0.2)) == pytest.approx(float(np.mean(hard)), rel=1e-5)


def build() -> Any:
    fabricate_inputs()
    torch.manual_seed(0)
    config = small(SEAMConfig, dropout=0.0)
    training = config.build(restore_backbone(config, read_model("attend")), tags_for(config)).train()
    return training, load_two_batches(training, tags_for(config).photographs)[0]


def reached(training: Any, loss: Tensor) -> set[str]:
    names = [name for name, _ in training.named_parameters()]
    found = torch.autograd.grad(loss, list(training.parameters()), retain_graph=True, allow_unused=True)
    return {name.partition(".")[0] for name, g in zip(names, found, strict=True) if g is not None and g.any()}


def test_gradients_of_the_correlation_stay_in_it() -> None:
    """The refined maps teach the comparison of pixels alone; the classifier learns by tags and by its own two sizes."""
    training, batch = build()
    parts = training.step(batch, TrainingProgress(0, 9, 0, 3)).parts
    assert reached(training, parts["classification"]) == {"features", "classifier"}
    assert reached(training, parts["equivariance"]) == {"features", "classifier"}
    assert reached(training, parts["cross"]) == {"correlation"}
    assert reached(training, parts["weakest"]) <= {"correlation"}


def test_a_step_adds_the_losses() -> None:
    training, batch = build()
    losses = training.step(batch, TrainingProgress(0, 9, 0, 3))
    torch.testing.assert_close(losses.total, sum(losses.parts.values()))
    assert set(losses.parts) == {"classification", "weakest", "equivariance", "cross"}
