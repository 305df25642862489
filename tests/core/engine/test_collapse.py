"""Signs of collapse by hand: equal and opposite embeddings, even and one-sided use."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std, mean_entropy, prototype_use


def test_embeddings_that_are_equal_opposite_or_anywhere() -> None:
    equal = F.normalize(torch.ones(8, 4), dim=1)
    assert embedding_std(equal).item() == pytest.approx(0, abs=1e-6)
    assert embedding_std(torch.cat([equal, -equal])).item() == pytest.approx(1)
    z = F.normalize(torch.randn(500, 16), dim=1)
    expected = math.sqrt(z.var(0, unbiased=False).sum().item())
    assert embedding_std(z).item() == pytest.approx(expected, rel=1e-4)


def test_use_of_prototypes_from_one_to_all() -> None:
    assert prototype_use(torch.eye(6)).item() == pytest.approx(1)
    assert prototype_use(torch.eye(6)[[2, 2, 2]]).item() == pytest.approx(0, abs=1e-6)
    assert prototype_use(torch.eye(6)[[0, 1]]).item() == pytest.approx(math.log(2) / math.log(6))


def test_entropy_by_hand() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.5, 0.5]])
    assert mean_entropy(rows).item() == pytest.approx(math.log(2) / 2)
