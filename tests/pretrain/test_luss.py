"""LUSS's own parts: each term against a slow form of itself, what gets a gradient, and the rows of table 5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.artifacts.label_maps import LabelMap, write_label_maps
from stages.core.config.params import validate_section
from stages.core.engine.method import TrainingProgress
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.pretrain import Config
from stages.pretrain.__main__ import main
from stages.pretrain.methods.luss.config import LUSSConfig
from stages.pretrain.methods.luss.method import LUSS
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small

FIRST = TrainingProgress(iteration=0, iterations=10, epoch=0, epochs=5)
OFF = {"saliency_weight": 0.0, "image_to_pixel": 0.0, "pixel_to_pixel": 0.0}
ROWS: list[dict[str, Any]] = [
    {**OFF, "attention": False, "decoder": None},
    {**OFF, "attention": False},
    {**OFF},
    {**OFF, "saliency_weight": 1.0},
    {**OFF, "saliency_weight": 1.0, "image_to_pixel": 1.0},
    {"saliency_weight": 1.0, "image_to_pixel": 1.0, "pixel_to_pixel": 1.0},
]
"""Table 5 of the paper, from SwAV to all."""


def build(**values: Any) -> tuple[LUSS, Batch]:
    """The method in evaluation mode, so that views can be passed one at a time, and a batch."""
    index = fabricate_images(12)
    rng = np.random.default_rng(0)
    maps = [LabelMap(one, 32, 32, rng.integers(0, 256, (32, 32)).astype(np.uint8)) for one in index.image_ids]
    write_label_maps("saliency", "drawn", maps)
    torch.manual_seed(0)
    plain = {"backbone": {"name": "test_resnet", "output_stride": 16, "drop_path": 0.0}, "queue": 0}
    method = small(LUSSConfig, **{**plain, **values}).build().eval()
    return method, load_two_batches(method, index)[0]


def project_alone(method: LUSS, features: torch.Tensor) -> torch.Tensor:
    """Attention, mean, M and unit length, photograph by photograph."""
    rows = []
    for one in features:
        pixels = one.flatten(1).T  # (h w, D)
        if method.attention:
            weights = method.attention.conv.weight[0, :, 0, 0], method.attention.conv.bias
            pixels = pixels * torch.sigmoid(pixels @ weights[0] + weights[1])[:, None]
        rows.append(method.projector.layers(pixels.mean(0)[None])[0])
    return F.normalize(torch.stack(rows), dim=1)


def sinkhorn_by_hand(scores: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Rows over prototypes and columns over samples by turns, in double precision."""
    plan = torch.exp(scores.detach().double() / epsilon).T
    for _ in range(3):
        plan = plan / plan.sum(1, keepdim=True) / len(plan)
        plan = plan / plan.sum(0, keepdim=True) / plan.shape[1]
    return (plan * plan.shape[1]).T


def cross_entropy(codes: torch.Tensor, scores: torch.Tensor) -> float:
    return float(-(codes * torch.log_softmax(scores.double() / 0.1, 1)).sum(1).mean())


def bilinear(features: torch.Tensor, x: float, y: float) -> torch.Tensor:
    """One pixel (D,) of a map (D, h, w) at a place in -1..1, zeros outside."""
    height, width = features.shape[1:]
    column, row = (x + 1) * width / 2 - 0.5, (y + 1) * height / 2 - 0.5
    total = torch.zeros(len(features))
    for i in (int(np.floor(row)), int(np.floor(row)) + 1):
        for j in (int(np.floor(column)), int(np.floor(column)) + 1):
            if 0 <= i < height and 0 <= j < width:
                total += (1 - abs(row - i)) * (1 - abs(column - j)) * features[:, i, j]
    return total


def pixels_by_hand(features: torch.Tensor, own: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """(49, D) pixels of a view (D, h, w) on the lattice over what it shares with another."""
    left, top = max(own[0], other[0]), max(own[1], other[1])
    right, bottom = min(own[0] + own[2], other[0] + other[2]), min(own[1] + own[3], other[1] + other[3])
    rows = []
    for i, j in np.ndindex(7, 7):
        x = 2 * (left + (right - left) * j / 6 - own[0]) / own[2] - 1
        y = 2 * (top + (bottom - top) * i / 6 - own[1]) / own[3] - 1
        rows.append(bilinear(features, float(-x if own[4] else x), float(y)))
    return torch.stack(rows)


@torch.no_grad()
def test_every_term_is_the_papers_written_out() -> None:
    method, batch = build()
    got = method.step(batch, FIRST)
    maps = [method.features(view) for view in batch.views]
    prototypes = method.clustering.prototypes.weight
    scores = [project_alone(method, features) @ prototypes.T for features in maps]
    codes = [sinkhorn_by_hand(scores[view], 0.05) for view in (0, 1)]
    swav = [cross_entropy(codes[i], scores[v]) for i in (0, 1) for v in range(len(maps)) if v != i]
    assert got.parts["swav"].item() == pytest.approx(sum(swav) / len(swav), rel=1e-4)

    saliency = []
    for view in (0, 1):
        assert method.attention is not None
        weights = torch.sigmoid(method.attention.conv(maps[view]))[:, 0]
        side = len(batch.maps["saliency"][view][0]) // weights.shape[1]
        for each, stored in zip(weights, batch.maps["saliency"][view], strict=True):
            for i, j in np.ndindex(tuple(each.shape)):
                target = stored[i * side : (i + 1) * side, j * side : (j + 1) * side].double().mean() / 255
                saliency.append(-float(target * each[i, j].log() + (1 - target) * (1 - each[i, j]).log()))
    assert got.parts["saliency"].item() == pytest.approx(np.mean(saliency), rel=1e-4)

    shared = [b for b, (one, two) in enumerate(batch.windows[:, :2].tolist()) if overlaps(one, two)]
    assert shared
    scored = []
    for view in (0, 1):
        pixels = [pixels_by_hand(maps[view][b], batch.windows[b, view], batch.windows[b, 1 - view]) for b in shared]
        scored.append(F.normalize(method.projector.layers(torch.cat(pixels)), dim=1) @ prototypes.T)
    images = [torch.cat([codes[view][b].expand(49, -1) for b in shared]) for view in (0, 1)]
    expected = [cross_entropy(images[view], scored[1 - view]) for view in (0, 1)]
    assert got.parts["image_to_pixel"].item() == pytest.approx(sum(expected), rel=1e-4), "a sum, not a mean"
    expected = [cross_entropy(sinkhorn_by_hand(scored[view], 0.05), scored[1 - view]) for view in (0, 1)]
    assert got.parts["pixel_to_pixel"].item() == pytest.approx(sum(expected), rel=1e-4), "a sum, not a mean"

    terms = [got.parts[name] for name in ("swav", "saliency", "image_to_pixel", "pixel_to_pixel")]
    assert got.total.item() == pytest.approx(sum(term.item() for term in terms), rel=1e-5)


def overlaps(one: list[float], two: list[float]) -> bool:
    return all(max(one[i], two[i]) < min(one[i] + one[i + 2], two[i] + two[i + 2]) for i in (0, 1))


def reached(method: LUSS, term: torch.Tensor) -> set[str]:
    """Parts to which a term gives any gradient."""
    method.zero_grad()
    term.backward(retain_graph=True)
    return {
        name.partition(".")[0] if not name.startswith("features") else name.split(".")[1]
        for name, weight in method.named_parameters()
        if weight.grad is not None and weight.grad.abs().sum() > 0
    }


def test_gradients_reach_what_the_paper_says() -> None:
    """Pixels pass M, but M's weights do not learn from them; the prior teaches the attention, not M."""
    method, batch = build()
    parts = method.train().step(batch, FIRST).parts
    assert reached(method, parts["swav"]) == {"backbone", "decoder", "attention", "projector", "clustering"}
    assert reached(method, parts["saliency"]) == {"backbone", "decoder", "attention"}
    for name in ("image_to_pixel", "pixel_to_pixel"):
        assert reached(method, parts[name]) == {"backbone", "decoder", "clustering"}


def test_pixels_leave_the_running_statistics_of_the_projection_alone() -> None:
    """With and without alignment the batch norm of M has seen the pooled views only."""
    seen = []
    for values in ({}, OFF):
        method, batch = build(projector={"hidden": 16, "projected": 8, "last_norm": True}, **values)
        method.train().step(batch, FIRST)
        seen.append([value for name, value in method.projector.named_buffers() if "running" in name])
    assert len(seen[0]) == 4
    assert all(torch.equal(one, two) for one, two in zip(*seen, strict=True))


def test_views_without_any_overlap_add_nothing() -> None:
    method, batch = build()
    apart = batch.windows.clone()
    apart[:, 1, 0] += 1000
    losses = method.step(batch._replace(windows=apart), FIRST)
    assert losses.parts["image_to_pixel"] == losses.parts["pixel_to_pixel"] == 0
    losses.total.backward()
    assert all(torch.isfinite(p.grad).all() for p in method.parameters() if p.grad is not None)


@pytest.mark.parametrize("row", ROWS, ids=["swav", "decoder", "attention", "prior", "image_to_pixel", "all"])
def test_every_row_of_table_5_trains_and_exports_what_it_has(row: dict[str, Any]) -> None:
    method, batch = build(**row)
    losses = method.step(batch, FIRST)
    alignment = {"image_to_pixel", "pixel_to_pixel"} if row["image_to_pixel"] else set()
    expected = {"swav"} | ({"saliency"} if row["saliency_weight"] else set()) | alignment
    assert set(losses.parts) - {"code_entropy", "prototype_use", "embedding_std"} == expected
    exported = {"backbone", "projector", "prototypes"}
    exported |= {"decoder"} if row.get("decoder", True) else set()
    exported |= {"attention"} if row.get("attention", True) else set()
    assert set(method.export()) == exported


def test_a_prior_without_attention_is_refused() -> None:
    section = {**small(LUSSConfig).model_dump(mode="json"), "attention": False}
    with pytest.raises(UserError, match="attention: true or saliency_weight: 0"):
        validate_section("pretrain", section, Config, "params.yaml")


def test_missing_saliency_maps_are_named() -> None:
    fabricate_images(12)
    write_label_maps("saliency", "none", [])
    with pytest.raises(UserError, match=r"artifacts/saliency: no map of train/"):
        main(small(LUSSConfig))
    assert not Path("artifacts/pretrain").exists()
