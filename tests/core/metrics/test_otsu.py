"""Otsu's threshold against its definition and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from stages.core.metrics.otsu import otsu, otsu_of_scores


def scores(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    drawn = {
        "two hills": np.concatenate([rng.normal(30, 5, 500), rng.normal(70, 8, 300)]),
        "one hill": rng.normal(40, 10, 900),
        "uniform": rng.uniform(0, 101, 900),
        "two values": np.repeat([20, 80], [700, 100]),
        "a tail": rng.exponential(10, 900),
    }[kind]
    return drawn.clip(0, 100).astype(int)


@pytest.mark.parametrize("kind", ["two hills", "one hill", "uniform", "two values", "a tail"])
def test_the_split_is_otsus(kind: str) -> None:
    counts = np.bincount(scores(kind), minlength=101)
    last_below = threshold_otsu(hist=(counts, np.arange(101)))
    assert otsu(counts) == last_below + 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(2, 60))
def test_otsu_is_the_cut_of_least_variance_within(seed, size):
    scores = np.random.default_rng(seed).integers(0, 101, size)
    histogram = np.bincount(scores, minlength=256)

    def within(cut):
        parts = [part for part in (scores[scores < cut], scores[scores >= cut]) if part.size]
        return sum(part.var() * part.size for part in parts)

    found = otsu(histogram)
    if len(set(scores.tolist())) == 1:
        assert found == 0
    else:
        assert within(found) <= min(within(cut) for cut in range(102)) + 1e-6


def test_otsu_equals_scikit_image_on_two_hills():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(25, 6, 4000), rng.normal(70, 9, 3000)]).clip(0, 100).astype(np.uint8)
    found = otsu(np.bincount(scores, minlength=256))
    assert found == threshold_otsu(scores) + 1  # scikit-image gives the last level of the lower class


def test_photographs_are_split_together():
    maps = [scores("one hill").reshape(30, 30).astype(np.uint8), scores("two values")[:300].astype(np.uint8)]
    together = np.concatenate([each.ravel() for each in maps])
    assert otsu_of_scores(iter(maps)) == (threshold_otsu(together) + 1) / 100
