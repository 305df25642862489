"""Scores of objects against maps that are painted pixel by pixel and scored class by class."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from stages.core.artifacts.features import Feature, write_features
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.config.networks import Space
from stages.core.errors import UserError
from stages.evaluate import Config, ObjectProtocolConfig
from stages.evaluate.__main__ import main
from stages.evaluate.evaluators.object_protocol import _whiten
from stages.evaluate.evaluators.objects import (
    ObjectCounts,
    count_object,
    find_nearest,
    majority_class,
    score_confusion,
    score_kmeans,
    score_retrieval,
)
from tests.evaluate.project import CLASSES, write_project

RULES = ObjectProtocolConfig(
    seeds=2, overclustering=(6, 500), neighbors=3, pictured=2, whiten=3, retrieval_classes=(1, 2)
)


def draw(seed: int, photographs: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Masks (N, H, W) of one of three classes, where an object is seen, and vectors in three heaps."""
    rng = np.random.default_rng(seed)
    classes = np.arange(photographs) % 3 + 1
    true, seen = np.zeros((photographs, 12, 12), np.int64), np.zeros((photographs, 12, 12), bool)
    for number, class_id in enumerate(classes):
        top, left = rng.integers(0, 5, 2)
        true[number, top : top + 6, left : left + 6] = class_id
        true[number, 0, :3] = 1000
        seen[number, top + 1 : top + 7, left : left + 6] = True
    heaps = 4 * np.eye(3)[classes - 1] + rng.normal(0, 0.1, (photographs, 3))
    return true, seen, heaps.astype(np.float32)


def count(true: np.ndarray, seen: np.ndarray) -> ObjectCounts:
    both = np.stack([count_object(t, s, 3, 1000) for t, s in zip(true, seen, strict=True)])
    return ObjectCounts(both[:, 0], both[:, 1])


def miou_of_maps(true: np.ndarray, pred: np.ndarray) -> float:
    scored, values = true != 1000, []
    for class_id in range(4):
        both = (true == class_id) & (pred == class_id) & scored
        either = ((true == class_id) | (pred == class_id)) & scored
        values.append(both.sum() / max(either.sum(), 1))
    return 100 * float(np.mean(values))


def best_by_trying(true: np.ndarray, seen: np.ndarray, clusters: np.ndarray) -> float:
    """The bijection with the largest sum of IoU, by trying all 24."""
    pred = np.where(seen, clusters[:, None, None] + 1, 0)
    return max(miou_of_maps(true, np.array(order)[pred]) for order in itertools.permutations(range(4)))


@pytest.mark.parametrize("seed", range(3))
def test_kmeans_equals_painted_maps_under_the_best_bijection(seed: int) -> None:
    true, seen, vectors = draw(seed)
    vectors[[4, 9]], seen[[4, 9]] = 0, False  # photographs without an object
    found = score_kmeans(vectors, count(true, seen), 3, range(2))
    assert abs(found.mean - best_by_trying(true, seen, np.arange(30) % 3)) < 1e-9
    assert found.deviation < 1e-9


def of_four_photographs() -> tuple[np.ndarray, np.ndarray]:
    """20 pixels each: true ids, two cats, a dog and void, and what was found: an object in all but the last."""
    true = [[0] * 10 + [1] * 10, [0] * 10 + [1] * 10, [0] * 8 + [2] * 12, [0] * 12 + [1000] * 8]
    seen = [[0] * 8 + [1] * 12, [0] * 15 + [1] * 5, [0] * 4 + [1] * 16, [0] * 20]
    return np.array(true)[:, None], np.array(seen, bool)[:, None]


VECTORS = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], np.float32)


def count_two(true: np.ndarray, seen: np.ndarray) -> ObjectCounts:
    both = np.stack([count_object(t, s, 2, 1000) for t, s in zip(true, seen, strict=True)])
    return ObjectCounts(both[:, 0], both[:, 1])


def test_four_photographs_by_hand() -> None:
    counts = count_two(*of_four_photographs())
    background = 34 / 45  # 34 of 40 pixels, 39 predicted
    expected = 100 * np.mean([background, 15 / 22, 12 / 16])
    assert score_kmeans(VECTORS, counts, 2, [0]).mean == pytest.approx(expected)
    assert score_retrieval([1, 1, 2, 0], counts) == pytest.approx(expected)
    assert score_retrieval([1, 1, 1, 0], counts) == pytest.approx(100 * np.mean([background, 15 / 38, 0]))


def test_perfect_objects_score_100_and_constant_ones_an_id() -> None:
    """Of 72 pixels that count 40 are background and 20 cat; an object everywhere is matched with the background."""
    true, seen = of_four_photographs()
    perfect = count_two(true, (true > 0) & (true < 1000))
    assert score_kmeans(VECTORS, perfect, 2, [0]).mean == score_retrieval([1, 1, 2, 0], perfect) == 100
    everywhere = count_two(true, np.ones_like(seen))
    assert score_kmeans(np.ones((4, 2), np.float32), everywhere, 2, [0]).mean == pytest.approx(100 * 40 / 72 / 3)
    assert score_retrieval([1] * 4, everywhere) == pytest.approx(100 * 20 / 72 / 3)
    nowhere = count_two(true, np.zeros_like(seen))
    assert score_retrieval([0] * 4, nowhere) == pytest.approx(100 * 40 / 72 / 3)


def test_overclustering_of_a_constant_takes_the_background_and_of_whole_photographs_what_each_shows() -> None:
    """Of 72 pixels that count 40 are background, 20 cat and 12 dog; four clusters of objects beside the background."""
    true, seen = of_four_photographs()
    everywhere, nowhere = count_two(true, np.ones_like(seen)), count_two(true, np.zeros_like(seen))
    alike = np.ones((4, 2), np.float32)
    assert score_kmeans(alike, everywhere, 4, [0]).mean == pytest.approx(100 * 40 / 72 / 3)
    assert score_kmeans(alike, nowhere, 4, [0]).mean == pytest.approx(100 * 40 / 72 / 3)
    # A cluster for each photograph: IoU of 10 cat of 20 is 1/3 against 1/5 of the background, of 12 dog of 20 3/5
    # against 2/13, and where there is nothing but background it is that: 12 of 40.
    each = score_kmeans(np.eye(4, dtype=np.float32), everywhere, 4, [0]).mean
    assert each == pytest.approx(100 * np.mean([12 / 40, 20 / 40, 12 / 20]))


def test_overclustering_takes_the_class_of_largest_iou() -> None:
    true, seen, vectors = draw(0)
    every = score_kmeans(vectors, count(true, seen), 30, [0])  # an object each: nothing is lost but the outlines
    assert abs(every.mean - best_by_trying(true, seen, np.arange(30) % 3)) < 1e-9


def test_retrieval_takes_the_class_of_the_nearest_object() -> None:
    true, seen, _ = draw(1)
    nearest = np.random.default_rng(0).integers(1, 4, 30)
    expected = miou_of_maps(true, np.where(seen, nearest[:, None, None], 0))
    assert abs(score_retrieval(nearest, count(true, seen)) - expected) < 1e-9


def test_retrieval_among_a_few_classes_leaves_out_other_pixels_and_the_background() -> None:
    true, seen, _ = draw(1)
    nearest = np.random.default_rng(0).integers(1, 4, 30)
    pred = np.where(seen, nearest[:, None, None], 0)
    scored = np.isin(true, (0, 1, 3))
    ious = [((true == c) & (pred == c)).sum() / (((true == c) | (pred == c)) & scored).sum() for c in (1, 3)]
    assert abs(score_retrieval(nearest, count(true, seen), (1, 3)) - 100 * np.mean(ious)) < 1e-9


def test_an_object_is_of_the_class_of_most_of_its_pixels() -> None:
    true = np.array([[0, 0, 0, 0], [2, 2, 1, 1000], [3, 3, 3, 1000]])
    mask = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [0, 0, 1, 1]], bool)
    assert majority_class(true, mask, (1, 2, 3)) == 2
    assert majority_class(true, mask, (1, 3)) == 1
    assert majority_class(true, mask, (4,)) == majority_class(true, np.zeros_like(mask), (1, 2, 3)) == 0


def test_vectors_are_whitened_inside_the_protocol() -> None:
    """As scikit-learn does it, of the objects that are there; without more components than they span."""
    rng = np.random.default_rng(0)
    told = np.eye(3)[np.arange(30) % 3]
    vectors = np.concatenate([5 + rng.normal(0, 0.2, (30, 1)), 3 * rng.normal(size=(30, 1)), told], 1)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[4] = 0
    whitened = _whiten(vectors, 4)
    there = np.arange(30) != 4
    np.testing.assert_allclose(np.cov(whitened[there].T), np.eye(4), atol=1e-4)
    expected = PCA(4, whiten=True, svd_solver="full").fit_transform(vectors[there])
    np.testing.assert_allclose(np.abs(whitened[there]), np.abs(expected), atol=1e-3)
    assert not whitened[4].any()
    assert _whiten(vectors, 32).shape == (30, 5)
    np.testing.assert_array_equal(_whiten(vectors, 0), vectors)


def test_nearest_is_by_cosine() -> None:
    rng = np.random.default_rng(0)
    queries, bank = rng.normal(size=(5, 4)).astype(np.float32), rng.normal(size=(20, 4)).astype(np.float32)
    expected = NearestNeighbors(n_neighbors=3, metric="cosine").fit(bank).kneighbors(queries)[1]
    np.testing.assert_array_equal(find_nearest(queries, bank, 3), expected)


def test_ids_without_a_class_are_missing_everywhere() -> None:
    confusion = np.array([[6, 2], [1, 3]])  # worked by hand: id 1 belongs to nothing
    assert abs(score_confusion(confusion, np.array([0, -1])) - 100 * (6 / 9 + 0) / 2) < 1e-9


def write_vectors(truth: Any, splits: tuple[str, ...], leave_out: str = "", space: Space = "embedding") -> None:
    rng, rows = np.random.default_rng(0), []
    for split in splits:
        for class_id, name in CLASSES.items():
            for number in range(4):
                image_id = f"{split}/{name}/{number:02d}"
                vector = 3 * np.eye(4)[class_id] + rng.normal(0, 0.1, 4)
                if image_id != leave_out:
                    rows.append(Feature(image_id, 1, 100, vector.astype(np.float32)))
    write_features(sorted(rows, key=lambda row: row.image_id), 4, "float32", "salient_object", space)


def test_the_stage_scores_and_pictures_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    truth = write_project()
    write_vectors(truth, ("train", "validation"), leave_out="validation/square/02")
    main(Config(objects=RULES))
    metrics = json.loads((ARTIFACTS / "evaluate" / "metrics.json").read_text())
    ids = sorted(one for one in truth if one.startswith("validation"))
    true = np.stack([truth[one][0] for one in ids]).astype(np.int64)
    seen = np.stack([(truth[one][1] > 0) & (truth[one][2] >= 40) for one in ids])
    names = list(CLASSES.values())
    classes = np.array([names.index(one.split("/")[1]) for one in ids])
    hidden = ids.index("validation/square/02")
    expected = miou_of_maps(
        true, np.where(seen & (np.arange(len(ids)) != hidden)[:, None, None], classes[:, None, None] + 1, 0)
    )
    # Without a vector a photograph has no cluster; its object's pixels count as background.
    assert abs(metrics["validation"]["retrieval_mIoU"] - expected) < 1e-4
    assert abs(metrics["validation"]["objects_mIoU"] - expected) < 1e-4
    assert metrics["validation"]["retrieval_mIoU_among"] > 0
    assert "objects_mIoU_6" in metrics["validation"]
    assert "objects_mIoU_500" not in metrics["validation"]
    assert "objects_mIoU" not in metrics["test"]
    report = (ARTIFACTS / "evaluate" / "report.html").read_text()
    assert '<section id="objects">' in report
    assert report.count('alt="train/') >= 2 * RULES.neighbors


def test_objects_that_are_not_described_are_missed_aloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_vectors(write_project(), ("train",))
    main(Config(objects=RULES))
    assert "set extract.splits=[train,validation]" in capsys.readouterr().err
    assert "objects_mIoU" not in (ARTIFACTS / "evaluate" / "metrics.json").read_text()


def test_vectors_that_are_whitened_already_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_vectors(write_project(), ("train", "validation"), space="whitened")
    with pytest.raises(UserError, match=r"set extract\.whiten: 0"):
        main(Config(objects=RULES))
