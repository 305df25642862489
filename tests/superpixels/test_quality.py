"""Measures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from stages.core.data import IGNORE_ID
from stages.superpixels.quality import mean_quality, measure_compactness, measure_quality, measure_undersegmentation

HALVES = np.repeat([[1] * 6 + [2] * 6], 8, axis=0)


def test_regions_equal_to_the_mask_are_perfect():
    quality = measure_quality(HALVES, HALVES)
    assert (quality.boundary_recall, quality.undersegmentation_error, quality.region_count) == (1, 0, 2)


def test_a_boundary_three_pixels_off_is_missed_at_a_tolerance_of_two():
    mask = np.repeat([[7] * 3 + [9] * 9], 8, axis=0)
    assert measure_quality(HALVES, mask, tolerance=2).boundary_recall == 0.5  # the right side of the outline is 2 away
    assert measure_quality(HALVES, mask, tolerance=1).boundary_recall == 0


def test_undersegmentation_counts_the_smaller_side_for_every_segment():
    # Region 1 has 3 + 3 columns over segments 7 and 9: 3 leak into each; region 2 lies inside of segment 9.
    mask = np.repeat([[7] * 3 + [9] * 9], 8, axis=0)
    assert measure_undersegmentation(HALVES, mask) == pytest.approx((3 + 3) * 8 / (12 * 8))


def test_compactness_of_squares_and_bars():
    assert measure_compactness(np.ones((5, 5), int)) == pytest.approx(np.pi / 4)
    bar = 4 * np.pi * 10 / 22**2
    assert measure_compactness(np.array([[1] * 10, [2] * 10])) == pytest.approx(bar)


def test_ignored_pixels_count_in_no_error_and_the_outline_runs_through_their_middle():
    mask = np.repeat([[1] * 4 + [IGNORE_ID] * 4 + [2] * 4], 8, axis=0)
    quality = measure_quality(HALVES, mask, tolerance=0)
    assert (quality.boundary_recall, quality.undersegmentation_error) == (1, 0)


def test_photographs_without_an_outline_do_not_enter_the_mean_recall():
    quality = measure_quality(HALVES, np.zeros_like(HALVES))
    assert np.isnan(quality.boundary_recall)
    assert mean_quality([quality, measure_quality(HALVES, HALVES)]).boundary_recall == 1
