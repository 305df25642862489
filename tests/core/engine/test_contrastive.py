"""Losses of two views: lightly's values, and those that one knows without computing."""

from __future__ import annotations

import math

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from torch.nn import functional as F

from stages.core.engine.contrastive import contrast_rows, draw_others, info_nce, nt_xent, regression_loss

B, D, K = 6, 16, 20


def units(count: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(count, D, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_nt_xent_is_lightlys() -> None:
    first, second = units(B, 0), units(B, 1)
    torch.testing.assert_close(nt_xent(first, second, 0.1), NTXentLoss(temperature=0.1)(first, second))


def test_info_nce_is_lightlys_with_a_memory() -> None:
    queries, keys, negatives = units(B, 0), units(B, 1), units(K, 2)
    other = NTXentLoss(temperature=0.2, memory_bank_size=(K, D))
    other.memory_bank.bank, other.memory_bank.bank_ptr = negatives, torch.zeros(1, dtype=torch.long)
    other.eval()
    loss, _ = info_nce(queries, keys, negatives, 0.2)
    torch.testing.assert_close(loss, other(queries, keys))


def test_regression_is_lightlys_brought_to_distances() -> None:
    one, other = torch.randn(B, D), torch.randn(B, D)
    torch.testing.assert_close(regression_loss(one, other), 2 + 2 * NegativeCosineSimilarity()(one, other))
    assert regression_loss(one, 3 * one).item() == pytest.approx(0, abs=1e-6)


def test_equal_cosines_give_the_logarithm_of_the_choices() -> None:
    nothing = torch.zeros(B, D)
    assert nt_xent(nothing, nothing, 0.1).item() == pytest.approx(math.log(2 * B - 1))
    loss, _ = info_nce(nothing, nothing, torch.zeros(K, D), 0.2)
    assert loss.item() == pytest.approx(math.log(K + 1))


def test_the_own_key_among_orthogonal_negatives_is_found() -> None:
    axes = torch.eye(D)
    loss, accuracy = info_nce(axes[:B], axes[:B], axes[B:], 0.01)
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert accuracy.item() == 1
    assert nt_xent(axes[:B], axes[:B], 0.01).item() == pytest.approx(0, abs=1e-6)


def test_targets_get_no_gradient() -> None:
    one, other = torch.randn(B, D, requires_grad=True), torch.randn(B, D, requires_grad=True)
    regression_loss(one, other).backward()
    assert one.grad is not None
    assert other.grad is None


def test_rows_of_a_bank_are_told_apart_as_written_out() -> None:
    queries, bank, own = units(B, 0), units(K, 1), torch.tensor([0, 3, 3, 7, 19, 5])
    spread = torch.rand(K) + 0.1
    others = torch.tensor([3, 7, 8, 11])
    expected = []
    for query, row in zip(queries, own.tolist(), strict=True):
        rows = [row, *(other for other in others.tolist() if other != row)]
        expected.append(-torch.log_softmax(bank[rows] @ query / spread[rows], 0)[0])
    torch.testing.assert_close(contrast_rows(queries, bank, own, others, spread), torch.stack(expected).mean())
    everything = contrast_rows(queries, bank, own, torch.arange(K), spread)
    torch.testing.assert_close(contrast_rows(queries, bank, own, None, spread), everything)
    alike = contrast_rows(torch.zeros(B, D), bank, own, None, 0.07)
    assert alike.item() == pytest.approx(math.log(K))


def test_drawn_rows_are_those_of_their_key_and_all_where_there_are_no_more() -> None:
    drawn = draw_others(100, 20, [0, 1])
    assert drawn is not None
    assert len(set(drawn.tolist())) == 20
    again, other = draw_others(100, 20, [0, 1]), draw_others(100, 20, [0, 2])
    assert again is not None
    assert torch.equal(drawn, again)
    assert other is not None
    assert not torch.equal(drawn, other)
    assert draw_others(21, 20, [0]) is None
