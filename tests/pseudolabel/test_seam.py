"""SEAM's correlation of pixels and its losses beside slow, obvious forms, and where gradients reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from stages.core.artifacts.models import read_model
from stages.core.config.networks import BackboneConfig
from stages.core.engine.method import TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import build_features
from stages.pseudolabel.activation.rounds import restore_backbone
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.methods.seam.config import SEAMConfig
from stages.pseudolabel.methods.seam.correlation import (
    correlate,
    keep_strongest,
    mean_of_hardest,
    mean_of_weakest,
    normalize_maps,
    with_background,
)
from tests.fabricate import fabricate_images
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


def build(**values: Any) -> Any:
    fabricate_inputs()
    torch.manual_seed(0)
    config = small(SEAMConfig, dropout=0.0, **values)
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


def normalize_by_hand(maps: np.ndarray) -> np.ndarray:
    """Each map of (B, L, h, w) divided by its maximum, where it is above 0."""
    found = np.zeros_like(maps)
    for b, k in np.ndindex(maps.shape[:2]):
        if (highest := maps[b, k].max()) > 0:
            found[b, k] = maps[b, k].clip(0) / highest
    return found


def average_by_hand(maps: np.ndarray, side: int) -> np.ndarray:
    given, found = maps.shape[-1], np.zeros((*maps.shape[:2], side, side))
    ends = [(each * given // side, -(-(each + 1) * given // side)) for each in range(side)]
    for y, x in np.ndindex(side, side):
        (top, bottom), (left, right) = ends[y], ends[x]
        found[:, :, y, x] = maps[:, :, top:bottom, left:right].mean((2, 3))
    return found


def cross_by_hand(plain: np.ndarray, refined: np.ndarray) -> float:
    """Of each photograph a fifth of the differences, the largest, between what one size decides and the other says."""
    means = []
    for own, other in zip(plain, refined, strict=True):
        all_maps = np.concatenate([1 - own.max(0, keepdims=True), own])
        decided = np.where(all_maps == all_maps.max(0), all_maps, 0)
        differences = sorted(np.abs(decided - other).ravel(), reverse=True)
        means.append(np.mean(differences[: int(len(differences) * 0.2)]))
    return float(np.mean(means))


def test_the_losses_of_a_step_are_those_of_its_maps_by_hand() -> None:
    training, _ = build(output_stride=8)
    images = torch.randn(3, 3, 64, 64)
    batch = Batch([images], torch.zeros(0), {}, torch.tensor([0, 4, 8]))
    tags = [0, 1, 2]
    with torch.no_grad():
        parts = training.eval().step(batch, TrainingProgress(0, 9, 0, 3)).parts
    small_copy = torch.nn.functional.interpolate(images, scale_factor=0.3, mode="bilinear", align_corners=True)
    with torch.no_grad():
        seen = [training._map(each) for each in (images, small_copy)]
    own = np.zeros((3, 3, 1, 1))
    own[range(3), tags] = 1
    with_ground = np.concatenate([np.ones((3, 1, 1, 1)), own], 1)
    side = seen[1].plain.shape[-1]
    assert 1 < side < seen[0].plain.shape[-1]
    plain = [average_by_hand(normalize_by_hand(each.plain.numpy()), side) * own for each in seen]
    refined = [average_by_hand(normalize_by_hand(each.refined.numpy()), side) * with_ground for each in seen]
    assert float(parts["equivariance"]) == pytest.approx(np.abs(plain[0] - plain[1]).mean(), abs=1e-4)
    cross = cross_by_hand(plain[1], refined[0]) + cross_by_hand(plain[0], refined[1])
    assert float(parts["cross"]) == pytest.approx(cross, abs=1e-4)
    pushed = []
    for each in seen:
        for number, tag in enumerate(tags):
            places = sorted(each.refined[number, 1 + tag].clamp_min(0).flatten().tolist())
            pushed.append(np.mean(places[: int(len(places) * 0.25)]) / 6)
    assert float(parts["weakest"]) == pytest.approx(sum(pushed), abs=1e-4)


def test_with_resnet38_it_has_the_parameters_and_multiply_adds_that_luss_counts() -> None:
    tags = Tags(fabricate_images(1), np.array([[0]]), 50)
    with torch.device("meta"):
        features = build_features(BackboneConfig(name="resnet38", output_stride=8), None)
        training, images = SEAMConfig().build(features, tags).eval(), torch.empty(1, 3, 224, 224)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        training.activate(images)
    parameters = sum(each.numel() for each in training.parameters())
    assert f"{parameters / 1e6:.1f}" == "105.5", "table 4 of LUSS"
    assert counter.get_total_flops() / 2 == pytest.approx(100.4e9, rel=0.005)
