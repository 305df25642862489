"""Agreement of clusterings against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score, jaccard_score

from stages.core.metrics.agreement import adjusted_rand, best_jaccard
from stages.core.metrics.matching import contingency_matrix


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0])
@pytest.mark.parametrize(("k", "others"), [(1, 1), (1, 4), (5, 5), (20, 3)])
def test_it_is_that_of_scikit_learn(k: int, others: int, noise: float) -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, k, 200)
    second = np.where(rng.random(200) < noise, rng.integers(0, others, 200), first % others)
    counts = contingency_matrix(first, second, (k, others))
    assert adjusted_rand(counts) == pytest.approx(adjusted_rand_score(first, second))
    expected = [
        max(jaccard_score(first == one, second == other) for other in range(others)) for one in np.unique(first)
    ]
    np.testing.assert_allclose(best_jaccard(counts), expected)


def test_nothing_to_compare_is_no_disagreement_and_finite() -> None:
    assert adjusted_rand(np.zeros((3, 2), np.int64)) == 1.0
    assert best_jaccard(np.zeros((3, 2), np.int64)).size == 0
