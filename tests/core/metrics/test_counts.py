"""Counts against the evaluation written out class by class, on random images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.metrics.counts import ALL, GROUPS, Counts, SparseRows
from stages.core.metrics.kernels import boundary_radius, find_boundary, histogram
from stages.core.metrics.matching import match_images, write_match
from stages.core.metrics.scores import benchmark_summary, score
from stages.core.metrics.thresholds import Thresholds
from tests.evaluate import oracle


def draw_blocks(rng, height, width, ids, block):
    """Random ids in blocks, so that regions have an inside and sizes of all groups occur."""
    rows, columns = -(-height // block), -(-width // block)
    coarse = rng.choice(ids, (rows, columns))
    return np.kron(coarse, np.ones((block, block), np.int64))[:height, :width].astype(np.uint16)


@st.composite
def image_sets(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = draw(st.integers(1, 6))
    images = []
    for _ in range(draw(st.integers(1, 4))):
        height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
        true_ids = [0, *range(1, classes + 1)] + ([oracle.IGNORE] if draw(st.booleans()) else [])
        some = rng.choice(true_ids, draw(st.integers(1, len(true_ids))), replace=False)
        true = draw_blocks(rng, height, width, some, draw(st.integers(1, 15)))
        pred = draw_blocks(rng, height, width, range(classes + 1), draw(st.integers(1, 15)))
        score = draw_blocks(rng, height, width, range(101), draw(st.integers(1, 9))).astype(np.uint8)
        images.append((true, pred, score))
    return classes, images


def count(images, classes, thresholds=None):
    counts = Counts(classes, classes, len(thresholds) if thresholds else 1)
    for true, pred, stored in images:
        ranks = thresholds.rank_stored(stored) if thresholds else None
        counts.add_image(histogram(true, pred, oracle.IGNORE, ranks, counts.levels))
    return counts


def assert_equal_to_oracle(counts, images, level, threshold):
    classes = counts.classes
    matrix = oracle.cooccurrence(images, classes, classes, threshold)
    np.testing.assert_array_equal(counts.cooccurrence(level), matrix)
    match = match_images(counts.cooccurrence(level))
    pairs = {int(pred): true for pred, true in write_match(match).items()}
    wanted, wanted_edges, f, accuracy = oracle.count_set(images, pairs, classes, threshold)
    found = score(counts, match, level)
    for areas, expected in ((found.areas, wanted), (found.edges, wanted_edges)):
        np.testing.assert_array_equal(np.stack(areas, 2), expected)
    assert abs(found.f - f) < 1e-9
    assert found.accuracy == accuracy
    assert_equal_summary(benchmark_summary(found), wanted, wanted_edges)


def assert_equal_summary(summary, wanted, wanted_edges):
    for name, counts in (("mIoU", wanted), ("b_mIoU", wanted_edges)):
        assert abs(summary[name] - oracle.mean_iou(counts)) < 1e-9
        for slot, group in enumerate(GROUPS):
            expected = oracle.mean_iou(counts, slot, skip_absent=True)
            assert (summary[f"{name}_{group}"] is None) == (expected is None)
            assert expected is None or abs(summary[f"{name}_{group}"] - expected) < 1e-9
            assert abs(summary[f"{name}_{group}_all"] - oracle.mean_iou(counts, slot)) < 1e-9


@settings(max_examples=200, deadline=None)
@given(image_sets())
def test_counts_without_scores_equal_the_plain_evaluation(drawn):
    classes, images = drawn
    assert_equal_to_oracle(count(images, classes), [(true, pred, None) for true, pred, _ in images], 0, 0.0)


@settings(max_examples=150, deadline=None)
@given(image_sets(), st.lists(st.integers(0, 100), min_size=1, max_size=3, unique=True))
def test_every_threshold_of_one_pass_equals_a_run_of_its_own(drawn, hundredths):
    classes, images = drawn
    thresholds = Thresholds([value / 100 for value in sorted(hundredths)])
    counts = count(images, classes, thresholds)
    for level, value in enumerate(sorted(hundredths)):
        assert_equal_to_oracle(counts, images, level, value)  # The oracle compares the stored hundredths.


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60), st.integers(1, 20))
def test_boundary_is_what_repeated_erosion_takes_away(seed, height, width, block):
    ids = draw_blocks(np.random.default_rng(seed), height, width, [0, 3, 7, 1000], block)
    edge = find_boundary(ids, boundary_radius(height, width))
    np.testing.assert_array_equal(edge > 0, oracle.boundary_map(ids) > 0)


def test_radius_comes_from_the_diagonal():
    assert [boundary_radius(375, 500), boundary_radius(10, 10), boundary_radius(1, 1)] == [19, 1, 1]


def test_confusion_equals_torchmetrics():
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    rng = np.random.default_rng(3)
    images = [
        (draw_blocks(rng, 30, 40, [0, 1, 2, 3, 4, 1000], 5), draw_blocks(rng, 30, 40, range(5), 7), None)
        for _ in range(6)
    ]
    true, pred = (
        torch.from_numpy(np.concatenate([image[part].ravel().astype(np.int64) for image in images])) for part in (0, 1)
    )
    expected = multiclass_confusion_matrix(pred, true, num_classes=5, ignore_index=1000)
    np.testing.assert_array_equal(count(images, 4).confusion().T, expected.numpy())


def test_tied_areas_go_to_the_lowest_class():
    true = np.full((2, 4), 2, np.uint16)
    pred = np.array([[1, 1, 2, 2]] * 2, np.uint16)
    counts = count([(true, pred, None)], 2)
    assert score(counts, np.array([0, 2, 1])).accuracy == 0  # 1 -> 2 and 2 -> 1: class 1 comes first and is not there.
    assert score(counts, np.array([0, 1, 2])).accuracy == 0
    true[0, 0] = 1
    assert score(count([(true, pred, None)], 2), np.array([0, 2, 1])).accuracy == 1


def test_group_limits_fall_into_the_lower_group():
    true = np.zeros((10, 10), np.uint16)
    true.ravel()[:5], true.ravel()[5:30], true.ravel()[30:81] = 1, 2, 3
    counts = count([(true, true, None)], 3)
    assert [np.flatnonzero(counts.true_area[slot, 1:]).tolist() for slot in range(ALL)] == [[0], [1], [], [2]]


def test_an_image_without_any_counted_pixel_is_an_image_without_hits():
    counts = count([(np.full((3, 3), 1000, np.uint16), np.ones((3, 3), np.uint16), None)], 1)
    summary = benchmark_summary(score(counts, np.array([0, 1])))
    assert (summary["mIoU"], summary["accuracy"], summary["F"], summary["mIoU_S"]) == (0, 0, 0, None)


def test_merging_equals_counting_together():
    rng = np.random.default_rng(5)
    images = [
        (draw_blocks(rng, 20, 30, [0, 1, 2, 1000], 4), draw_blocks(rng, 20, 30, range(3), 6), None) for _ in range(4)
    ]
    whole, first, second = count(images, 2), count(images[:2], 2), count(images[2:], 2)
    first.merge(second)
    match = np.array([0, 2, 1])
    assert benchmark_summary(score(first, match)) == benchmark_summary(score(whole, match))


@pytest.mark.parametrize("kind", [np.uint8, np.uint32])
def test_sums_that_outgrow_their_bits_are_exact(kind: type[np.integer]) -> None:
    rng = np.random.default_rng(6)
    expected = np.zeros((30, 2, 3), np.int64)
    whole, halves = SparseRows((2, 3), kind), [SparseRows((2, 3), kind) for _ in range(2)]
    for number in range(1500):
        keys = rng.integers(0, 30, 4)
        rows = (
            rng.integers(0, 4, (4, 2, 3)) * np.where(keys == 7, 2**33 if kind is np.uint32 else 100, 1)[:, None, None]
        )
        np.add.at(expected, keys, rows)
        for sums in (whole, halves[number % 2]):
            sums.add(keys, rows)
    halves[0].add_all(halves[1])
    for sums in (whole, halves[0]):
        np.testing.assert_array_equal(sums.keys(), np.arange(30))
        for kind_of, level in np.ndindex(2, 3):
            np.testing.assert_array_equal(sums.column((kind_of, level)), expected[:, kind_of, level])
    assert len(whole._large) == 1 if kind is np.uint32 else len(whole._large) > 1
