import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.config.segmenter import SegmenterCard
from stages.core.errors import UserError
from stages.core.metrics.thresholds import Thresholds
from stages.evaluate.rules import threshold_of_card


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20, unique=True), st.integers(0, 2**32))
def test_ranks_count_the_thresholds_that_a_score_reaches(values, seed):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(-0.2, 1.2, (8, 9)).astype(np.float32)
    scores.ravel()[: len(values)] = np.array(values, np.float32)
    thresholds = sorted(values)
    expected = sum((scores >= np.float32(value)).astype(int) for value in thresholds)
    np.testing.assert_array_equal(Thresholds(thresholds).rank(scores), expected)


def test_a_score_on_a_hundredth_or_just_below_falls_on_the_right_side_in_float32():
    grid = np.array([value / 100 for value in range(101)]).astype(np.float32)
    thresholds = Thresholds([value / 100 for value in range(101)])
    np.testing.assert_array_equal(thresholds.rank(grid[None]), np.arange(1, 102)[None])
    np.testing.assert_array_equal(thresholds.rank(np.nextafter(grid, np.float32(-1))[None]), np.arange(101)[None])


def test_stored_scores_are_whole_hundredths():
    ranks = Thresholds([0.0, 0.29, 0.57, 1.0]).rank_stored(np.array([[0, 28, 29, 56, 57, 99, 100]], np.uint8))
    assert ranks.tolist() == [[1, 1, 2, 2, 3, 3, 4]]


@pytest.mark.parametrize("values", [[], [0.5, 0.2], [0.1, 0.1], [-0.1], [1.1], list(np.linspace(0, 1, 256))])
def test_wrong_thresholds_are_refused(values):
    with pytest.raises(UserError, match="thresholds"):
        Thresholds(values)


def test_a_threshold_chosen_on_masks_counts_as_a_use_of_labels():
    card = SegmenterCard(clusters=3, short_side=32, score="softmax", background="class_0")
    chosen = threshold_of_card(card.model_copy(update={"threshold": 0.31, "threshold_source": "validation"}))
    assert chosen is not None
    assert (chosen.hundredths, chosen.uses_labels) == (31, True)
    assert threshold_of_card(card) is None
