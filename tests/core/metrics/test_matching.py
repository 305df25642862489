import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.core.errors import UserError
from stages.core.metrics.matching import (
    assign,
    contingency_matrix,
    match_greedily,
    match_images,
    match_iou,
    match_pixels,
    read_match,
    write_match,
)
from stages.evaluate.evaluators.clustering import compare_clusters, normalized_mutual_information


def best_sum(gain):
    """Largest sum over all one-to-one assignments, by trying every one."""
    rows, columns = gain.shape
    if rows > columns:
        return best_sum(gain.T)
    return max(
        sum(gain[row, column] for row, column in enumerate(order))
        for order in itertools.permutations(range(columns), rows)
    )


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 6), st.integers(1, 30))
def test_assignment_is_the_best_of_all_permutations(seed, rows, columns, highest):
    gain = np.random.default_rng(seed).integers(0, highest, (rows, columns))
    assigned = assign(gain)
    taken = assigned[assigned >= 0]
    assert len(set(taken.tolist())) == len(taken) == min(rows, columns)
    assert gain[assigned >= 0, taken].sum() == best_sum(gain)


def test_ties_end_the_same_way_every_time():
    assert assign(np.zeros((4, 4), int)).tolist() == assign(np.zeros((4, 4), int)).tolist() == [0, 1, 2, 3]


def test_clusters_that_meet_no_class_get_the_classes_left_over():
    assert match_images(np.array([[0, 0, 0], [0, 9, 0], [0, 0, 0]])).tolist() == [0, 1, 2, 3]


def test_more_clusters_than_classes_leave_clusters_without_one():
    assert match_images(np.array([[5, 0], [6, 1], [0, 7]])).tolist() == [0, -1, 1, 2]


def test_background_takes_part_in_matching_by_pixels():
    confusion = np.array([[1, 9], [8, 2]])  # Predicted 0 covers class 1.
    assert match_pixels(confusion).tolist() == [1, 0]


def test_matching_by_iou_and_by_pixels_differ():
    confusion = np.array([[100, 60], [50, 40]])
    assert match_pixels(confusion).tolist() == [0, 1]
    confusion = np.array([[90, 0, 0], [0, 50, 30], [0, 45, 1]])
    assert match_pixels(confusion).tolist() == [0, 2, 1]
    iou = confusion / (confusion.sum(1, keepdims=True) + confusion.sum(0, keepdims=True) - confusion)
    best = max(
        itertools.permutations(range(3)), key=lambda order: sum(iou[row, column] for row, column in enumerate(order))
    )
    assert match_iou(confusion).tolist() == list(best)


def test_over_clustering_takes_the_class_of_largest_iou():
    assert match_iou(np.array([[80, 5], [1, 30], [2, 40]])).tolist() == [0, 1, 1]


def test_greedy_takes_the_largest_overlap_and_nothing_for_unseen_clusters():
    assert match_greedily(np.array([[9, 1, 0], [0, 3, 3], [0, 0, 0]])).tolist() == [0, 1, -1]


def test_one_bincount_equals_counting_by_hand():
    clusters, classes = np.array([0, 2, 2, 0, 1]), np.array([1, 0, 0, 1, 1])
    assert contingency_matrix(clusters, classes, (3, 2)).tolist() == [[0, 2], [0, 1], [2, 0]]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 80), st.integers(1, 6), st.integers(1, 6))
def test_mutual_information_equals_scikit_learn(seed, images, clusters, classes):
    from sklearn.metrics import normalized_mutual_info_score

    rng = np.random.default_rng(seed)
    found, true = rng.integers(0, clusters, images), rng.integers(0, classes, images)
    contingency = contingency_matrix(found, true, (clusters, classes))
    expected = normalized_mutual_info_score(true, found, average_method="arithmetic")
    assert abs(normalized_mutual_information(contingency) - expected) < 1e-9
    agreement = compare_clusters(contingency)
    assert abs(agreement.nmi - 100 * expected) < 1e-7
    assert abs(agreement.accuracy - 100 * best_sum(contingency) / images) < 1e-9


def test_clusters_of_photographs_by_hand():
    perfect, constant = compare_clusters(np.array([[0, 3], [2, 0]])), compare_clusters(np.array([[3, 2], [0, 0]]))
    assert (perfect.nmi, perfect.accuracy) == (100, 100)
    assert (constant.nmi, constant.accuracy) == (0, 60)


def test_match_files_go_there_and_back(tmp_path):
    match = np.array([0, 3, -1, 1])
    path = tmp_path / "match.json"
    path.write_text(json.dumps({"match": write_match(match)}))
    assert read_match(path, 3, 3).tolist() == match.tolist()
    path.write_text(json.dumps({"1": 2, "1000": 1000}), encoding="utf-8-sig")
    assert read_match(path, 2, 2).tolist() == [0, 2, -1]


@pytest.mark.parametrize("content", ["[1, 2]", "{", '{"1": "x"}', '{"9": 1}', '{"1": 9}', '{"match": 3}'])
def test_a_wrong_match_file_is_named(tmp_path, content):
    path = tmp_path / "match.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"match\.json"):
        read_match(path, 2, 2)
    path.write_text(content, encoding="utf-16")
    with pytest.raises(UserError, match=r"match\.json: not a text in UTF-8"):
        read_match(path, 2, 2)
