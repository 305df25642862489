"""What is particular about SimCLR, MoCo v2, BYOL, rotation and PixPro."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.nn import functional as F

from stages.core.engine.method import TrainingProgress
from stages.pretrain.methods.byol.config import BYOLConfig
from stages.pretrain.methods.moco_v2.config import MoCoConfig
from stages.pretrain.methods.pixpro.method import mean_cosine, near_pairs, propagate
from stages.pretrain.methods.rotation.method import turn_views
from tests.fabricate import fabricate_images
from tests.methods import load_two_batches, small

FIRST = TrainingProgress(0, 10, 0, 5)


def test_the_four_turns_are_those_of_the_photograph() -> None:
    view = torch.arange(12.0).view(1, 3, 2, 2)
    turned, turns = turn_views(view)
    assert turns.tolist() == [0, 1, 2, 3]
    for each, turn in zip(turned, turns, strict=True):
        assert torch.equal(each, torch.from_numpy(np.rot90(view[0].numpy(), int(turn), (1, 2)).copy()))


def test_keys_join_the_queue_and_nothing_of_it_is_lost_in_a_checkpoint() -> None:
    method = small(MoCoConfig, negatives=6).build().train()
    before = method.contrast.queue.embeddings.clone()
    method.step(load_two_batches(method, fabricate_images(12))[0], FIRST)
    after = method.contrast.queue.embeddings[0]
    assert torch.equal(after[4:], before[0, :2])
    torch.testing.assert_close(after.norm(dim=1), torch.ones(6))
    assert "contrast.queue.embeddings" in method.state_dict()


def test_the_target_of_byol_learns_nothing_by_itself_and_follows() -> None:
    method = small(BYOLConfig, momentum={"value": 0.5}).build().train()
    method.step(load_two_batches(method, fabricate_images(12))[0], FIRST).total.backward()
    assert all(parameter.grad is None for parameter in method.target.parameters())
    online, target = next(method.backbone.parameters()), next(method.target.parameters())
    with torch.no_grad():
        online.add_(1)
    expected = (online + target) / 2
    method.after_step(FIRST)
    torch.testing.assert_close(target, expected)


def test_what_all_projections_of_byol_share_is_taken_off_where_that_is_asked_for() -> None:
    for last_norm in (False, True):
        method = small(BYOLConfig, last_norm=last_norm).build().train()
        views = torch.cat(load_two_batches(method, fabricate_images(12))[0].views)
        shared = F.normalize(method.target(views), dim=1).mean(0).norm()
        assert (shared < 0.3) == last_norm


def test_two_views_of_one_size_are_asked_for() -> None:
    for crops in ([{"count": 3, "size": 32, "scale": [0.2, 1]}], [{"count": 1, "size": 32, "scale": [0.2, 1]}]):
        with pytest.raises(ValidationError, match="two views"):
            MoCoConfig.model_validate({"views": {"crops": crops}})


def test_pixels_of_the_same_place_are_pairs_however_views_are_mirrored() -> None:
    whole, mirrored = torch.tensor([[0.0, 0, 40, 40, 0]]), torch.tensor([[0.0, 0, 40, 40, 1]])
    assert torch.equal(near_pairs(whole, whole, (4, 4), 0.7)[0], torch.eye(16).bool())
    flipped = near_pairs(whole, mirrored, (4, 4), 0.7)[0].view(4, 4, 4, 4)
    assert flipped.sum() == 16
    assert all(flipped[row, column, row, 3 - column] for row in range(4) for column in range(4))
    assert not near_pairs(whole, torch.tensor([[100.0, 0, 40, 40, 0]]), (4, 4), 0.7).any()


def test_pairs_are_those_of_the_formula_pixel_by_pixel() -> None:
    first, second = torch.tensor([[3.0, 5, 30, 20, 0]]), torch.tensor([[10.0, 0, 24, 36, 1]])
    found = near_pairs(first, second, (3, 2), 0.7)[0]
    limit = 0.7 * max(np.hypot(30 / 2, 20 / 3), np.hypot(24 / 2, 36 / 3))
    for one in range(6):
        for other in range(6):
            x1, y1 = 3 + (one % 2 + 0.5) * 15, 5 + (one // 2 + 0.5) * 20 / 3
            x2, y2 = 10 + 24 - (other % 2 + 0.5) * 12, (other // 2 + 0.5) * 12
            assert found[one, other] == (np.hypot(x1 - x2, y1 - y2) < limit)


def test_propagation_is_the_formula_pixel_by_pixel() -> None:
    features, transform = torch.randn(2, 5, 2, 3), nn.Conv2d(5, 5, 1)
    found = propagate(features, transform, 2.0)
    transformed = F.normalize(transform(features), dim=1)
    for row, column in ((0, 0), (1, 2)):
        here = features[:, :, row, column, None, None]
        weights = F.cosine_similarity(here, features, dim=1).clamp(min=0) ** 2
        expected = (weights[:, None] * transformed).sum((2, 3))
        torch.testing.assert_close(found[:, :, row, column], expected)


def test_identical_maps_agree_and_a_photograph_without_pairs_counts_nothing() -> None:
    features = torch.randn(2, 5, 3, 3)
    pairs = torch.eye(9).bool().repeat(2, 1, 1)
    pairs[1] = False
    torch.testing.assert_close(mean_cosine(features, features, pairs), torch.tensor([1.0, 0]))
