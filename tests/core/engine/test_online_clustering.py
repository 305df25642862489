"""Sinkhorn, the SwAV loss and the queue against loops, lightly, and cases worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stages.core.engine.online_clustering import Queue, sinkhorn, swav_loss


def slow_sinkhorn(scores: np.ndarray, epsilon: float) -> np.ndarray:
    """Float64, one element at a time, as SwAV's appendix writes it down: Q is (P, B)."""
    batch, prototypes = scores.shape
    q = [[math.exp(scores[b, p] / epsilon) for b in range(batch)] for p in range(prototypes)]
    total = sum(map(sum, q))
    q = [[value / total for value in row] for row in q]
    for _ in range(3):
        for row in q:
            row_sum = sum(row)
            row[:] = [value / row_sum / prototypes for value in row]
        for b in range(batch):
            column_sum = sum(row[b] for row in q)
            for row in q:
                row[b] = row[b] / column_sum / batch
    return np.array(q).T * batch


def cosines(batch: int, prototypes: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    z, weight = torch.randn(batch, 8, generator=generator), torch.randn(prototypes, 8, generator=generator)
    return F.normalize(z, dim=1) @ F.normalize(weight, dim=1).T


@pytest.mark.parametrize(("batch", "prototypes", "epsilon"), [(6, 4, 0.05), (3, 10, 0.05), (16, 16, 0.5), (1, 5, 0.1)])
def test_codes_equal_a_slow_loop(batch: int, prototypes: int, epsilon: float) -> None:
    scores = cosines(batch, prototypes)
    expected = slow_sinkhorn(scores.double().numpy(), epsilon)
    np.testing.assert_allclose(sinkhorn(scores, epsilon).numpy(), expected, rtol=1e-4, atol=1e-6)


def test_rows_sum_to_one_and_all_prototypes_are_used() -> None:
    scores = cosines(64, 8)
    scores[:, 0] += 0.5  # a prototype that everything is closest to
    codes = sinkhorn(scores, 0.5)
    torch.testing.assert_close(codes.sum(1), torch.ones(64))
    used = codes.sum(0) / codes.sum()
    assert used.min() > 0.8 / 8
    assert used.max() < 1.2 / 8
    assert F.softmax(scores / 0.1, dim=1).mean(0).max() > 0.5  # without Sinkhorn one prototype takes most


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_scores_that_overflow_an_exponential_stay_finite(dtype: torch.dtype) -> None:
    scores = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0, 0.5]]).to(dtype)
    codes = sinkhorn(scores, 0.02)  # exp(50) overflows float16
    assert codes.dtype == torch.float32
    assert torch.isfinite(codes).all()
    torch.testing.assert_close(codes.sum(1), torch.ones(3))
    large = sinkhorn(scores.float() + 10, 0.05)  # exp(200) overflows float32
    torch.testing.assert_close(large, sinkhorn(scores.float(), 0.05), rtol=1e-3, atol=1e-5)


def test_codes_carry_no_gradient() -> None:
    assert not sinkhorn(cosines(4, 3).requires_grad_(), 0.05).requires_grad


def test_loss_by_hand() -> None:
    # Two prototypes, one photograph, three views; T = 1; ln of a softmax over (0, ln 3) is (ln 1/4, ln 3/4).
    scores = [torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3), 0.0]])]
    codes = [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.25, 0.75]])]
    first = (math.log(2) + math.log(4 / 3)) / 2  # code 0 in views 1 and 2
    second = (0.25 * math.log(4) + 0.75 * math.log(4 / 3) + 0.25 * math.log(4 / 3) + 0.75 * math.log(4)) / 2
    assert swav_loss(scores, codes, 1.0).item() == pytest.approx((first + second) / 2)


def test_loss_equals_lightlys() -> None:
    from lightly.loss import SwaVLoss

    views = [cosines(8, 6, seed) for seed in range(5)]
    codes = [sinkhorn(view, 0.05) for view in views[:2]]
    lightly = SwaVLoss(temperature=0.1, sinkhorn_iterations=3, sinkhorn_epsilon=0.05)
    expected = lightly(views[:2], views[2:]).squeeze()
    torch.testing.assert_close(swav_loss(views, codes, 0.1), expected, rtol=1e-4, atol=1e-5)


def test_loss_with_a_queue_equals_lightlys() -> None:
    from lightly.loss import SwaVLoss

    views, queued = [cosines(8, 6, seed) for seed in range(2)], [cosines(16, 6, seed) for seed in (7, 8)]
    codes = [sinkhorn(torch.cat([old, new]), 0.05)[-8:] for old, new in zip(queued, views, strict=True)]
    expected = SwaVLoss()(views, [], queued).squeeze()
    torch.testing.assert_close(swav_loss(views, codes, 0.1), expected, rtol=1e-4, atol=1e-5)


def rows(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers)[:, None].repeat(1, 2)


def test_queue_fills_from_the_front_and_the_oldest_leave() -> None:
    queue = Queue(views=2, length=6, size=2)
    filled = []
    for first in (1.0, 3.0, 5.0, 7.0):
        filled.append(queue.is_full)
        queue.push(0, rows(first, first + 1))
        queue.push(1, -rows(first, first + 1))
    assert filled == [False, False, False, True]
    assert queue.embeddings[0, :, 0].tolist() == [7, 8, 5, 6, 3, 4]
    assert queue.embeddings[1, :, 1].tolist() == [-7, -8, -5, -6, -3, -4]


def test_a_queue_is_not_full_before_every_view_is() -> None:
    queue = Queue(views=2, length=2, size=2)
    queue.push(0, rows(1, 2))
    assert not queue.is_full
    queue.push(1, rows(1, 2))
    assert queue.is_full


def test_a_batch_larger_than_the_queue_and_no_queue_at_all() -> None:
    queue = Queue(views=1, length=2, size=2)
    queue.push(0, rows(1, 2, 3))
    assert queue.embeddings[0, :, 0].tolist() == [1, 2]
    none = Queue(views=2, length=0, size=2)
    none.push(0, rows(1, 2))
    assert not none.is_full


def test_a_queue_is_part_of_the_state() -> None:
    queue = Queue(views=1, length=2, size=2)
    queue.push(0, rows(1, 2))
    restored = Queue(views=1, length=2, size=2)
    restored.load_state_dict(queue.state_dict())
    assert torch.equal(restored.embeddings, queue.embeddings)
    assert restored.is_full == queue.is_full
