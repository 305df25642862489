"""The dense CRF: what it does to easy pictures, and this project's own code beside pydensecrf and plain sums."""

from __future__ import annotations

import sys
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from stages.core.config.crf import CRFConfig
from stages.core.images.dense_crf import infer_mean_field, refine
from stages.core.images.permutohedral import Lattice

WEAKLY_SUPERVISED = CRFConfig(near=3, near_weight=3, alike=80, alike_color=13, alike_weight=10)
Refine = Callable[[np.ndarray, np.ndarray, CRFConfig], np.ndarray]


@pytest.mark.parametrize("solve", [refine, infer_mean_field])
def test_labels_move_to_the_edge_of_the_colors(solve: Refine) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = 220
    right = np.where(np.arange(40) >= 24, 0.7, 0.3)  # the guess is four pixels off
    noise = np.random.default_rng(0).uniform(-0.15, 0.15, (40, 40))
    guess = np.clip(np.tile(right, (40, 1)) + noise, 0.05, 0.95)
    refined = solve(image, np.stack([1 - guess, guess]).astype(np.float32), CRFConfig())
    np.testing.assert_allclose(refined.sum(0), 1, atol=1e-4)
    assert ((guess > 0.5) == (image[..., 0] > 0)).mean() < 0.95
    assert ((refined[1] > 0.5) == (image[..., 0] > 0)).mean() > 0.99


def draw_scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture (90, 120, 3) of ellipses with soft edges and noise, and what a coarse network might say of it."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((90, 120), np.uint8)
    for number in range(1, 4):
        middle, axes = rng.integers(20, 90, 2).tolist(), rng.integers(12, 30, 2).tolist()
        cv2.ellipse(mask, middle, axes, float(rng.uniform(0, 180)), 0, 360, number, -1)
    colors = rng.integers(30, 226, (4, 3))
    picture = cv2.GaussianBlur(colors[mask].astype(np.float32), (3, 3), 0) + rng.normal(0, 6, (90, 120, 3))
    coarse = [cv2.resize((mask == k).astype(np.float32), (15, 11), interpolation=cv2.INTER_AREA) for k in range(4)]
    logits = [cv2.resize(3 * each, (120, 90)) + rng.normal(0, 0.5, (90, 120)) for each in coarse]
    shares = np.exp(np.stack(logits))
    return picture.clip(0, 255).astype(np.uint8), (shares / shares.sum(0)).astype(np.float32)


@pytest.mark.parametrize("config", [CRFConfig(), WEAKLY_SUPERVISED], ids=["maskcontrast", "rca"])
def test_own_code_agrees_with_pydensecrf(config: CRFConfig) -> None:
    pytest.importorskip("pydensecrf.densecrf")
    agreeing, changed, seen = 0, 0, 0
    for seed in range(4):
        picture, shares = draw_scene(seed)
        peer, own = refine(picture, shares, config).argmax(0), infer_mean_field(picture, shares, config).argmax(0)
        assert (peer == own).mean() >= 0.98
        moved = peer != shares.argmax(0)
        agreeing, changed, seen = agreeing + (peer == own)[moved].sum(), changed + moved.sum(), seen + moved.size
    assert changed > 0.02 * seen, "there is something to agree on"
    assert agreeing >= 0.9 * changed


def test_without_the_extra_the_own_code_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, shares = draw_scene(0)
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    np.testing.assert_array_equal(refine(picture, shares, CRFConfig()), infer_mean_field(picture, shares, CRFConfig()))


@pytest.mark.parametrize("size", [2, 5])
def test_the_lattice_weighs_as_a_gaussian_over_all_pairs_does(size: int) -> None:
    """Up to a factor, which normalization takes out: means of values in 0..3 are near those by the Gaussian."""
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 3, (1500, size)).astype(np.float32)
    values = (points[:, :1] + rng.uniform(0, 0.1, (1500, 1))).astype(np.float32)
    weights = np.exp(-((points[:, None] - points[None]) ** 2).sum(-1) / 2)
    lattice = Lattice(points)
    found = lattice.filter(values) / lattice.filter(np.ones_like(values))
    off = abs(found - weights @ values / weights.sum(1, keepdims=True))
    assert off.mean() < 0.04
    assert off.max() < 0.2


def test_one_label_stays() -> None:
    alone = np.ones((1, 4, 5), np.float32)
    assert refine(np.zeros((4, 5, 3), np.uint8), alone, CRFConfig()) is alone
