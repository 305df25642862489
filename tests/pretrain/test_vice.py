"""ViCE's regions, masking and objective against slow, obvious forms of themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.views import SectorViewConfig
from stages.core.engine.method import TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.regions import region_means
from stages.pretrain.methods.vice import common_regions
from stages.pretrain.methods.vice.common_regions import CommonRegions, draw_rectangles, pixel_regions
from stages.pretrain.methods.vice.config import MaskingConfig, VICEConfig
from stages.pretrain.methods.vice.method import VICE
from tests.fabricate import BACKBONE

SIZE, VIEWS, PHOTOGRAPHS = 16, 3, 4


def draw_maps(seed: int = 0, ids: int = 7) -> list[Tensor]:
    """Regions as blobs, some of them missing in some views, 0 where there is none."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, ids, (VIEWS, PHOTOGRAPHS, 4, 4), generator=generator)
    return list(coarse.repeat_interleave(4, 2).repeat_interleave(4, 3).int())


def common_plainly(maps: list[Tensor], photograph: int) -> set[int]:
    return set.intersection(*(set(each[photograph].unique().tolist()) for each in maps)) - {0}


def numbered_plainly(maps: list[Tensor]) -> list[tuple[int, int]]:
    """Photograph and id of every common region, in order."""
    return [(photo, each) for photo in range(PHOTOGRAPHS) for each in sorted(common_plainly(maps, photo))]


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("small", [(4, 4), (5, 3), (16, 16), (1, 1)])
def test_region_means_are_those_of_the_enlarged_map(small: tuple[int, int], align_corners: bool) -> None:
    torch.manual_seed(0)
    features = torch.randn(PHOTOGRAPHS, 6, *small, requires_grad=True)
    regions = torch.randint(-1, 9, (PHOTOGRAPHS, 16, 12))
    means = region_means(features, regions, 9, align_corners)
    enlarged = F.interpolate(features, (16, 12), mode="bilinear", align_corners=align_corners).permute(0, 2, 3, 1)
    expected = torch.stack([enlarged[regions == number].mean(0) for number in range(9)])
    torch.testing.assert_close(means, expected)
    weights = torch.randn(9, 6)
    (slow,) = torch.autograd.grad((expected * weights).sum(), features, retain_graph=True)
    (fast,) = torch.autograd.grad((means * weights).sum(), features)
    torch.testing.assert_close(fast, slow)


@pytest.mark.parametrize("seed", range(5))
def test_only_regions_that_every_view_shows_are_numbered(seed: int) -> None:
    maps = draw_maps(seed)
    numbers, photographs = CommonRegions(maps).number()
    expected = numbered_plainly(maps)
    assert photographs.tolist() == [photo for photo, _ in expected]
    for view, numbered in zip(maps, numbers, strict=True):
        for photo in range(PHOTOGRAPHS):
            for found, stored in zip(numbered[photo].ravel().tolist(), view[photo].ravel().tolist(), strict=True):
                assert found == (expected.index((photo, stored)) if (photo, stored) in expected else -1)


@pytest.mark.parametrize("seed", range(8))
def test_masking_hides_touched_regions_but_for_the_spared_ones(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, views = draw_maps(seed, ids=9), [torch.full((PHOTOGRAPHS, 3, SIZE, SIZE), 5.0) for _ in range(VIEWS)]
    rectangles = [torch.zeros(PHOTOGRAPHS, SIZE, SIZE, dtype=torch.bool) for _ in range(VIEWS)]
    for view, rectangle in enumerate(rectangles):
        for photo in range(PHOTOGRAPHS):
            rectangle[photo, 4 * view : 4 * view + 5, 3 * photo : 3 * photo + 4] = True
    pending = iter(rectangles)
    monkeypatch.setattr(common_regions, "draw_rectangles", lambda *_: next(pending))
    torch.manual_seed(seed)
    draws = torch.rand(PHOTOGRAPHS * 9)
    torch.manual_seed(seed)
    regions = CommonRegions(maps)
    hidden_views = regions.hide(views, MaskingConfig(spared=0.25))
    remaining: list[tuple[int, int]] = []
    for photo in range(PHOTOGRAPHS):
        common = common_plainly(maps, photo)
        spared = {each for each in common if draws[photo * int(max(m.max() for m in maps) + 1) + each] < 0.25}
        touched = [set(m[photo][r[photo]].tolist()) - {0} - spared for m, r in zip(maps, rectangles, strict=True)]
        left = common - set.union(*touched)
        if not left:
            touched, left = [set(), set(), set()], common
        remaining += [(photo, each) for each in sorted(left)]
        for view in range(VIEWS):
            expected = torch.isin(maps[view][photo], torch.tensor(sorted(touched[view]), dtype=torch.int32))
            assert torch.equal((hidden_views[view][photo] != 5).all(0), expected)
            assert hidden_views[view][photo][:, expected].abs().le(1).all()
    assert [(photo, 0) for photo, _ in remaining] == [(photo, 0) for photo in regions.number()[1].tolist()]


def test_rectangles_lie_inside_and_are_as_large_as_they_may_be_most_often() -> None:
    torch.manual_seed(0)
    inside = draw_rectangles(2000, (64, 32), 0.25)
    heights, widths = inside.any(2).sum(1), inside.any(1).sum(1)
    assert heights.max() <= 17
    assert widths.max() <= 9
    assert 0.6 < (heights / 16).median() < 0.85
    assert torch.equal(inside.sum((1, 2)), heights * widths)
    center = inside.float().mean(0)
    assert center[28:36, 14:18].mean() < center.max()  # off the center


def test_pixels_as_regions_follow_the_windows() -> None:
    windows = torch.tensor(
        [
            [[10, 20, 8, 8, 0], [8, 22, 16, 16, 1], [12, 18, 4, 4, 0]],
            [[-3, 0, 8, 8, 1], [0, 0, 5, 5, 0], [2, 2, 8, 8, 1]],
        ],
        dtype=torch.float32,
    )
    maps = pixel_regions(windows, 8)
    for photo in range(2):
        named: dict[int, tuple[int, int]] = {}
        for view in range(3):
            x0, y0, width, height, flip = windows[photo, view].tolist()
            for row in range(8):
                for column in range(8):
                    shown = 7 - column if flip else column
                    pixel = (
                        int(np.floor(y0 + (row + 0.5) / 8 * height)),
                        int(np.floor(x0 + (shown + 0.5) / 8 * width)),
                    )
                    assert named.setdefault(int(maps[view][photo, row, column]), pixel) == pixel
        assert len(set(named.values())) == len(named)
        assert min(named) >= 1


def build(**values: Any) -> VICE:
    torch.manual_seed(0)
    fields = {
        "backbone": BACKBONE.model_dump(),
        "decoder": {"kind": "fpn", "channels": 8},
        "views": SectorViewConfig(count=VIEWS, size=SIZE),
        "prototypes": 5,
        "queue": 40,
        "queue_start_iteration": 1,
        "masking": None,
        **values,
    }
    return VICEConfig.model_validate(fields).build().train()


def draw_batch(seed: int = 0) -> Batch:
    torch.manual_seed(seed + 100)
    views = [torch.randn(PHOTOGRAPHS, 3, SIZE, SIZE) for _ in range(VIEWS)]
    return Batch(views, torch.zeros(PHOTOGRAPHS, VIEWS, 5), {"superpixels": draw_maps(seed)}, torch.arange(4))


def sinkhorn_plainly(scores: np.ndarray, epsilon: float) -> np.ndarray:
    codes = np.exp((scores - scores.max()) / epsilon)
    codes /= codes.sum()
    for _ in range(3):
        codes /= codes.sum(0) * codes.shape[1]
        codes /= codes.sum(1, keepdims=True) * codes.shape[0]
    return codes * codes.shape[0]


def vectors_plainly(method: VICE, batch: Batch) -> list[np.ndarray]:
    """V x (R, D): the pixels of each region one by one."""
    maps = batch.maps["superpixels"]
    found = []
    with torch.no_grad():
        features = method.features(torch.cat(batch.views)).chunk(VIEWS)
    for view in range(VIEWS):
        enlarged = F.interpolate(features[view], (SIZE, SIZE), mode="bilinear", align_corners=True).double().numpy()
        rows = []
        for photo, number in numbered_plainly(maps):
            mask = maps[view][photo].numpy() == number
            pixels = np.array([enlarged[photo, :, y, x] for y, x in zip(*mask.nonzero(), strict=True)])
            rows.append(pixels)
        found.append(rows)
    return found


def loss_plainly(z: list[np.ndarray], earlier: np.ndarray, method: VICE, photographs: list[int], average: str) -> float:
    prototypes = method.prototypes.weight.detach().double().numpy()
    prototypes /= np.linalg.norm(prototypes, axis=1, keepdims=True)
    codes = sinkhorn_plainly(np.concatenate([earlier, z[0]]) @ prototypes.T, 0.05)[len(earlier) :]
    total, weight = 0.0, 0.0
    for region, photo in enumerate(photographs):
        share = 1 / photographs.count(photo) if average == "photographs" else 1.0
        weight += share
        for view in range(1, VIEWS):
            logits = z[view][region] @ prototypes.T / 0.1
            predicted = logits - np.log(np.exp(logits).sum())
            total -= share * (codes[region] * predicted).sum() / (VIEWS - 1)
    return total / weight


@pytest.mark.parametrize("average", ["photographs", "regions"])
def test_the_loss_is_the_cross_entropy_of_the_first_views_codes_with_the_queue(average: str) -> None:
    method = build(average=average)
    earlier = np.zeros((0, 8))
    for iteration in range(5):
        batch = draw_batch(iteration)
        z = [np.array([pixels.mean(0) for pixels in rows]) for rows in vectors_plainly(method, batch)]
        z = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in z]
        photographs = [photo for photo, _ in numbered_plainly(batch.maps["superpixels"])]
        used = earlier if iteration >= 1 else earlier[:0]
        expected = loss_plainly(z, used, method, photographs, average)
        losses = method.step(batch, TrainingProgress(iteration, 9, 0, 1))
        assert losses.total.item() == pytest.approx(expected, rel=1e-4)
        assert losses.parts["regions"].item() == len(photographs)
        if iteration >= 1:
            earlier = np.concatenate([z[0], earlier])[:40]
        with torch.no_grad():
            method.prototypes.weight.add_(torch.randn_like(method.prototypes.weight) * 0.3)  # scores must be refreshed


def test_the_largest_score_stands_for_a_region_and_the_others_are_drawn_to_it() -> None:
    method, batch = build(vector="max"), draw_batch()
    prototypes = F.normalize(method.prototypes.weight.detach(), dim=1).double().numpy()
    chosen: list[list[np.ndarray]] = [[] for _ in range(VIEWS)]
    spread = []
    for view, rows in enumerate(vectors_plainly(method, batch)):
        for pixels in rows:
            unit = pixels / np.linalg.norm(pixels, axis=1, keepdims=True)
            best = unit[(unit @ prototypes.T).max(1).argmax()]
            chosen[view].append(best)
            spread.append(np.linalg.norm(unit - best, axis=1).mean())
    photographs = [photo for photo, _ in numbered_plainly(batch.maps["superpixels"])]
    clustering = loss_plainly([np.array(each) for each in chosen], np.zeros((0, 8)), method, photographs, "photographs")
    losses = method.step(batch, TrainingProgress(0, 9, 0, 1))
    owners = np.array(photographs * VIEWS)
    coherence = np.mean([np.array(spread)[owners == photo].mean() for photo in np.unique(owners)])
    assert losses.parts["coherence"].item() == pytest.approx(coherence, rel=1e-4)
    assert losses.total.item() == pytest.approx((clustering + coherence) / 2, rel=1e-4)


def test_the_chosen_pixel_is_not_drawn_to_the_others() -> None:
    method = build(vector="max")
    torch.manual_seed(1)
    features = nn.Parameter(torch.randn(VIEWS * PHOTOGRAPHS, 8, SIZE, SIZE))
    method.features = Fixed(features)
    method.step(draw_batch(), TrainingProgress(0, 9, 0, 1)).parts["coherence"].backward()
    assert features.grad is not None
    moved = features.grad.ne(0).any(1).sum()
    maps = draw_maps()
    regions = numbered_plainly(maps)
    inside = sum(int((view[photo] == number).sum()) for view in maps for photo, number in regions)
    assert moved == inside - VIEWS * len(regions), "all pixels of regions but one of each"


class Fixed(nn.Module):
    """Features that are themselves learnt."""

    def __init__(self, features: nn.Parameter) -> None:
        super().__init__()
        self.values = features

    def forward(self, images: Tensor) -> Tensor:
        return self.values


def test_prototypes_and_queue_wait_for_their_iterations() -> None:
    method = build(freeze_prototypes=2, queue_start_iteration=3)
    for iteration in range(4):
        progress = TrainingProgress(iteration, 4, 0, 1)
        method.step(draw_batch(), progress).total.backward()
        method.after_gradients(progress)
        assert (method.prototypes.weight.grad is None) == (iteration < 2)
        assert (len(method.queue.written(0)) > 0) == (iteration >= 3)
        method.zero_grad()


def test_only_pixels_need_no_superpixels() -> None:
    assert build().maps == ("superpixels",)
    assert build(regions="pixels").maps == ()
    windows = torch.tensor([[4.0, 4, 16, 16, 0], [0, 2, 20, 20, 1], [6, 6, 10, 10, 0]]).repeat(PHOTOGRAPHS, 1, 1)
    losses = build(regions="pixels").step(draw_batch()._replace(windows=windows, maps={}), TrainingProgress(0, 1, 0, 1))
    assert torch.isfinite(losses.total)
    assert losses.parts["regions"] > 40 * PHOTOGRAPHS


def test_deeplab_gets_a_last_layer() -> None:
    decoder = {"kind": "deeplabv3plus", "form": "vice", "channels": 12, "low_level": 4, "rates": [1, 2, 3]}
    method = build(decoder={**decoder, "embedding": 8})
    assert method.step(draw_batch(), TrainingProgress(0, 1, 0, 1)).total.isfinite()
    assert method.features(draw_batch().views[0]).shape[1] == 8 == method.prototypes.weight.shape[1]
    assert set(method.export()) == {"backbone", "decoder", "prototypes"}
