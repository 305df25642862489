"""PASS's own parts: its terms written out, and what gets a gradient from each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stages.core.engine.method import TrainingProgress
from stages.core.engine.online_clustering import sinkhorn
from stages.core.images.dataset import Batch
from stages.core.images.view_overlap import overlap_grid
from stages.core.nets.attention import ChannelAttention
from stages.core.nets.backbones import stage_maps
from stages.pretrain.methods.pass_.config import PASSConfig
from stages.pretrain.methods.pass_.method import PASS
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small

FIRST = TrainingProgress(iteration=0, iterations=10, epoch=0, epochs=5)


def build(**values: Any) -> tuple[PASS, Batch]:
    """The method in evaluation mode, so that views can be passed one at a time, and a batch."""
    torch.manual_seed(0)
    plain = {"backbone": {"name": "test_resnet", "output_stride": 16, "drop_path": 0.0}, "queue": 0}
    method = small(PASSConfig, **{**plain, **values}).build().eval()
    return method, load_two_batches(method, fabricate_images(12))[0]


def cross_entropy(codes: torch.Tensor, scores: torch.Tensor) -> float:
    return float(-(codes * torch.log_softmax(scores / 0.1, 1)).sum(1).mean())


@torch.no_grad()
def test_every_term_is_as_in_the_authors_code() -> None:
    method, batch = build(shallow=[3, 2], shallow_weight=0.5)
    got = method.step(batch, FIRST)
    prototypes = method.clustering.prototypes.weight
    maps = [stage_maps(method.backbone, view) for view in batch.views]
    scores = [method.projector(each[3].mean((2, 3))) @ prototypes.T for each in maps]
    codes = [sinkhorn(score, 0.05) for score in scores[:2]]
    swav = [cross_entropy(codes[i], scores[v]) for i in (0, 1) for v in range(len(maps)) if v != i]
    assert got.parts["swav"].item() == pytest.approx(np.mean(swav), rel=1e-4)
    for head, stage in zip(method.shallow, (3, 2), strict=True):
        shallow = [head(each[stage - 1]) @ prototypes.T for each in maps[:2]]
        expected = (cross_entropy(codes[0], shallow[1]) + cross_entropy(codes[1], shallow[0])) / 2
        assert got.parts[f"stage_{stage}"].item() == pytest.approx(expected, rel=1e-4)
    cosines = []
    grid = overlap_grid(batch.windows[:, 0], batch.windows[:, 1])
    for b, (i, j) in ((b, place) for b in range(4) for place in np.ndindex(7, 7)):
        pixels = []
        for view in (0, 1):
            place = grid.places[view][b, i, j][None, None, None]
            embedded = method.pixels(maps[view][3][b : b + 1])
            pixels.append(F.grid_sample(embedded, place, align_corners=False))
        for one, other in (pixels, pixels[::-1]):
            ahead, target = method.predictor(one).ravel(), other.ravel()
            cosines.append(float(ahead @ target / (ahead.norm() * target.norm()).clamp_min(1e-8)))
    assert got.parts["pixel_to_pixel"].item() == pytest.approx(-np.mean(cosines), rel=1e-3, abs=1e-5)
    image = got.parts["swav"] + 0.5 * (got.parts["stage_3"] + got.parts["stage_2"])
    assert got.total.item() == pytest.approx(float(image / 2 + got.parts["pixel_to_pixel"]), rel=1e-5)


def reached(method: PASS, term: torch.Tensor) -> set[str]:
    method.zero_grad()
    term.backward(retain_graph=True)
    return {
        name.partition(".")[0]
        for name, weight in method.named_parameters()
        if weight.grad is not None and weight.grad.abs().sum() > 0
    }


def test_gradients_reach_what_they_should() -> None:
    """Shallow stages learn the codes but do not move the prototypes; pixels teach backbone, pixel head, predictor."""
    method, batch = build()
    parts = method.train().step(batch, FIRST).parts
    assert reached(method, parts["swav"]) == {"backbone", "projector", "clustering"}
    assert reached(method, parts["stage_3"]) == {"backbone", "shallow"}
    last = [weight.grad for name, weight in method.backbone.named_parameters() if "layer4" in name]
    assert not any(gradient.abs().sum() for gradient in last if gradient is not None)
    assert reached(method, parts["pixel_to_pixel"]) == {"backbone", "pixels", "predictor"}


def test_views_without_overlap_add_nothing() -> None:
    method, batch = build()
    apart = batch.windows.clone()
    apart[:, 1, 0] += 1000
    assert method.step(batch._replace(windows=apart), FIRST).parts["pixel_to_pixel"] == 0


def test_terms_can_be_switched_off() -> None:
    method, batch = build(shallow=[], pixel_to_pixel=0.0)
    losses = method.step(batch, FIRST)
    assert torch.equal(losses.total, losses.parts["swav"])
    assert not hasattr(method, "predictor")


def test_convolutions_start_as_in_the_authors_code() -> None:
    """Kaiming's normal distribution by fan-out, those of the predictor too: deviation sqrt(2 / channels out)."""
    torch.manual_seed(0)
    method = PASSConfig(backbone={"name": "test_resnet"}).build()
    attention = ChannelAttention(256)
    convolutions = [layer for part in (method.pixels, method.predictor, attention) for layer in part.modules()]
    weights = [layer.weight for layer in convolutions if isinstance(layer, nn.Conv2d)]
    assert len(weights) == 7
    for weight in weights:
        assert weight.std().item() == pytest.approx((2 / len(weight)) ** 0.5, rel=0.05)
