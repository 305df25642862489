"""k-means against scikit-learn, nearest neighbors against all distances."""

from __future__ import annotations

from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import make_blobs
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from stages.core.errors import UserError
from stages.core.faiss_ops import kmeans, nearest, normalize_rows

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def blobs(count: int = 600, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    vectors, owners = make_blobs(count, n_features=8, centers=6, cluster_std=spread, random_state=0)
    return vectors.astype(np.float32), owners


def test_the_objective_is_scikit_learns() -> None:
    vectors, _ = blobs(spread=4.0)  # overlapping: no start finds the optimum for free
    found = kmeans(vectors, 6, restarts=20, iterations=50, seed=0)
    best = KMeans(6, n_init=20, max_iter=50, random_state=0).fit(vectors).inertia_
    assert found.objective == pytest.approx(best, rel=0.01)


def test_ids_distances_and_objective_agree_with_the_centroids() -> None:
    vectors, _ = blobs(spread=4.0)
    found = kmeans(vectors, 6, restarts=2, iterations=5, seed=0)
    apart = ((vectors[:, None].astype(np.float64) - found.centroids) ** 2).sum(2)
    np.testing.assert_array_equal(found.cluster_ids, apart.argmin(1))
    np.testing.assert_allclose(found.distances, apart.min(1), rtol=1e-4, atol=1e-3)
    assert found.objective == pytest.approx(apart.min(1).sum(), rel=1e-5)


def test_clear_clusters_are_found_in_any_order_and_their_centers_are_means() -> None:
    vectors, owners = blobs()
    shuffled = RANDOM.permutation(len(vectors))
    for order in (np.arange(len(vectors)), np.argsort(owners, kind="stable"), shuffled):
        found = kmeans(vectors[order], 6, restarts=10, iterations=20, seed=0)
        assert adjusted_rand_score(owners[order], found.cluster_ids) == 1
        for cluster, centroid in enumerate(found.centroids):
            np.testing.assert_allclose(centroid, vectors[order][found.cluster_ids == cluster].mean(0), atol=1e-4)


def test_the_seed_decides() -> None:
    vectors = RANDOM.normal(size=(300, 8)).astype(np.float32)
    first, again, other = (kmeans(vectors, 10, 1, 5, seed) for seed in (0, 0, 1))
    assert first.centroids.tobytes() == again.centroids.tobytes()
    assert first.cluster_ids.tobytes() == again.cluster_ids.tobytes()
    assert first.centroids.tobytes() != other.centroids.tobytes()


def test_the_starts_are_those_of_faiss() -> None:
    vectors, _ = blobs(spread=4.0)
    search = faiss.Kmeans(8, 12, niter=6, nredo=7, seed=3, min_points_per_centroid=1, max_points_per_centroid=600)
    search.train(vectors[np.random.default_rng(3).permutation(600)])
    assert kmeans(vectors, 12, restarts=7, iterations=6, seed=3).centroids.tobytes() == search.centroids.tobytes()


def test_more_restarts_are_not_worse() -> None:
    vectors, _ = blobs(spread=4.0)
    assert kmeans(vectors, 12, 20, 10, 0).objective <= kmeans(vectors, 12, 1, 10, 0).objective


def test_as_many_clusters_as_vectors() -> None:
    vectors = np.eye(4, dtype=np.float32)
    found = kmeans(vectors, 4, 2, 5, 0)
    assert sorted(found.cluster_ids) == [0, 1, 2, 3]
    assert found.objective == pytest.approx(0, abs=1e-6)


def test_too_few_vectors_and_nan_say_what_to_do() -> None:
    vectors = RANDOM.normal(size=(5, 3)).astype(np.float32)
    with pytest.raises(UserError, match=r"5 vectors cannot form 6 clusters; lower cluster.k or add photographs"):
        kmeans(vectors, 6, 1, 5, 0)
    vectors[2, 1] = np.nan
    with pytest.raises(UserError, match="not finite; the representation has diverged, train it again"):
        kmeans(vectors, 2, 1, 5, 0)


@pytest.mark.parametrize("queries", [1, 50])
def test_nearest_equals_all_distances(queries: int) -> None:
    bank, asked = RANDOM.normal(size=(80, 6)).astype(np.float32), RANDOM.normal(size=(queries, 6)).astype(np.float32)
    distances, rows = nearest(asked, bank, 5)
    apart = ((asked[:, None].astype(np.float64) - bank) ** 2).sum(2)
    np.testing.assert_array_equal(rows, np.argsort(apart, axis=1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(apart, axis=1)[:, :5], rtol=1e-4)


def test_rows_get_length_one_and_zero_stays_zero() -> None:
    rows = normalize_rows(np.array([[3, 4], [0, 0], [-5, 0]], np.float32))
    np.testing.assert_allclose(rows, [[0.6, 0.8], [0, 0], [-1, 0]])
    assert rows.dtype == np.float32


@pytest.mark.gpu
def test_a_gpu_finds_the_same_clusters_and_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faiss.get_num_gpus() > 0
    vectors, owners = blobs()
    there, near = kmeans(vectors, 6, 10, 20, 0), nearest(vectors[:50], vectors, 5)
    assert adjusted_rand_score(owners, there.cluster_ids) == 1
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert there.objective == pytest.approx(kmeans(vectors, 6, 10, 20, 0).objective, rel=1e-3)
    distances, rows = nearest(vectors[:50], vectors, 5)
    np.testing.assert_allclose(near[0], distances, rtol=1e-3, atol=1e-3)
    assert (near[1] == rows).mean() > 0.99
