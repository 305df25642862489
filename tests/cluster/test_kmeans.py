"""Centroids are means of unit vectors, assignments the nearest centroids, and folders' names play no part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from stages.cluster.__main__ import main
from stages.cluster.methods.kmeans import KMeansConfig
from stages.core.artifacts.clusters import read_assignments, read_centroids
from stages.core.errors import UserError
from tests.fabricate import fabricate_features

OWNERS = np.repeat([0, 1, 2], 20)
IDS = [f"train/{owner}/{number:03d}" for number, owner in enumerate(OWNERS)]
CONFIG = KMeansConfig(k=3, restarts=5, iterations=20)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def embeddings() -> np.ndarray:
    """Three directions, each at many lengths."""
    rng = np.random.default_rng(0)
    directions = np.eye(8)[OWNERS] + 0.1 * rng.normal(size=(60, 8))
    return (directions * rng.uniform(0.1, 100, (60, 1))).astype(np.float32)


def test_centroids_are_means_of_unit_vectors_and_assignments_the_nearest() -> None:
    fabricate_features(embeddings(), IDS)
    main(CONFIG)
    centroids, assignments = read_centroids(), read_assignments()
    unit = embeddings() / np.linalg.norm(embeddings(), axis=1, keepdims=True)
    assert assignments.image_ids == IDS
    assert centroids.normalize_at_use
    assert adjusted_rand_score(OWNERS, assignments.cluster_ids) == 1
    for cluster in range(3):
        members = unit[assignments.cluster_ids == cluster]
        np.testing.assert_allclose(centroids.embeddings[cluster], members.mean(0), atol=1e-5)
        assert centroids.sizes[cluster] == len(members) == 20
    assert np.linalg.norm(centroids.embeddings, axis=1).max() < 1, "stored raw, not brought to length 1"
    apart = ((unit[:, None] - centroids.embeddings) ** 2).sum(2)
    np.testing.assert_array_equal(assignments.cluster_ids, apart.argmin(1))
    np.testing.assert_allclose(assignments.distances, apart.min(1), atol=1e-5)


def test_other_splits_take_the_nearest_cluster_and_form_none() -> None:
    fabricate_features(embeddings(), IDS)
    main(CONFIG)
    alone = Path("artifacts/cluster/centroids.parquet").read_bytes()
    far = np.tile(np.array([-1, -2, 3, 0, 0, 0, 0, 1], np.float32), (9, 1))
    fabricate_features(np.concatenate([embeddings(), far]), [*IDS, *(f"validation/x/{n}" for n in range(9))])
    main(CONFIG)
    assert Path("artifacts/cluster/centroids.parquet").read_bytes() == alone
    centroids, assignments = read_centroids(), read_assignments()
    expected = ((far[0] / np.linalg.norm(far[0]) - centroids.embeddings) ** 2).sum(1)
    assert set(assignments.cluster_ids[60:]) == {expected.argmin()}
    np.testing.assert_allclose(assignments.distances[60:], expected.min(), atol=1e-5)
    main(CONFIG.model_copy(update={"splits": ("train", "validation")}))
    assert Path("artifacts/cluster/centroids.parquet").read_bytes() != alone


def test_without_normalizing_lengths_count() -> None:
    fabricate_features(embeddings(), IDS)
    main(CONFIG.model_copy(update={"normalize": False}))
    centroids, assignments = read_centroids(), read_assignments()
    assert not centroids.normalize_at_use
    apart = ((embeddings()[:, None].astype(float) - centroids.embeddings) ** 2).sum(2)
    np.testing.assert_array_equal(assignments.cluster_ids, apart.argmin(1))


def test_renamed_categories_leave_the_bytes_of_the_centroids() -> None:
    written = []
    for rename in (lambda one: one, lambda one: one.replace("train/1/", "train/1-dogs/")):
        fabricate_features(embeddings(), [rename(one) for one in IDS])
        main(CONFIG)
        written.append(Path("artifacts/cluster/centroids.parquet").read_bytes())
    assert written[0] == written[1]


def test_more_clusters_than_photographs_says_what_to_change() -> None:
    fabricate_features(embeddings(), IDS)
    with pytest.raises(UserError, match=r"60 vectors cannot form 61 clusters; lower cluster.k"):
        main(CONFIG.model_copy(update={"k": 61}))


def test_a_diverged_representation_is_named() -> None:
    broken = embeddings()
    broken[3, 4] = np.inf
    fabricate_features(broken, IDS)
    with pytest.raises(UserError, match="not finite"):
        main(CONFIG)
