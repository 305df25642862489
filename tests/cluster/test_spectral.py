"""Spectral clustering against scikit-learn's, and eigenvectors against all of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components
from sklearn.cluster import SpectralClustering
from sklearn.datasets import make_blobs, make_circles
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from stages.cluster.__main__ import main
from stages.cluster.config import ClusterConfig
from stages.cluster.methods.kmeans import KMeansConfig
from stages.cluster.methods.spectral import SpectralConfig, leading_eigenvectors, neighbor_graph
from stages.core.artifacts.clusters import read_assignments, read_centroids
from stages.core.errors import UserError
from stages.core.faiss_ops import Clustering
from stages.core.streamed_kmeans import VectorRows
from tests.fabricate import fabricate_features


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def group(config: ClusterConfig, vectors: np.ndarray, k: int) -> Clustering:
    return config.group(VectorRows(vectors, np.arange(len(vectors))), k, Path("work"))


def rings(noise: float = 0.06) -> tuple[np.ndarray, np.ndarray]:
    """Two rings, one in the other: no two centroids tell them apart."""
    vectors, owners = make_circles(400, factor=0.5, noise=noise, random_state=0)
    return vectors.astype(np.float32), owners


def blobs(spread: float) -> tuple[np.ndarray, np.ndarray]:
    vectors, owners = make_blobs(300, n_features=8, centers=5, cluster_std=spread, random_state=0)
    return vectors.astype(np.float32), owners


@pytest.mark.filterwarnings("ignore:Graph is not fully connected")
@pytest.mark.parametrize(("drawn", "k"), [(rings(), 2), (rings(0.12), 2), (blobs(1.0), 5), (blobs(5.0), 5)])
def test_groups_are_those_of_scikit_learn_on_the_same_graph(drawn: tuple[np.ndarray, np.ndarray], k: int) -> None:
    vectors, _ = drawn
    found = group(SpectralConfig(k=k, neighbors=10), vectors, k)
    oracle = SpectralClustering(k, affinity="precomputed", random_state=0, n_init=30)
    expected = oracle.fit_predict(neighbor_graph(vectors, 10).toarray())
    assert adjusted_rand_score(expected, found.cluster_ids) > 0.97, "sklearn's rows are not brought to length 1"


def test_rings_are_told_apart_which_k_means_cannot() -> None:
    vectors, owners = rings()
    spectral = group(SpectralConfig(k=2, neighbors=8), vectors, 2)
    assert adjusted_rand_score(owners, spectral.cluster_ids) == 1
    assert adjusted_rand_score(owners, group(KMeansConfig(k=2), vectors, 2).cluster_ids) < 0.1
    for cluster in range(2):
        members = vectors[spectral.cluster_ids == cluster]
        np.testing.assert_allclose(spectral.centroids[cluster], members.mean(0), atol=1e-5)
        apart = np.square(members - members.mean(0)).sum(1)
        np.testing.assert_allclose(spectral.distances[spectral.cluster_ids == cluster], apart, atol=1e-5)


@pytest.mark.parametrize(("neighbors", "spread"), [(3, 0.3), (10, 5.0), (200, 5.0)])
def test_eigenvectors_span_what_a_dense_decomposition_gives(neighbors: int, spread: float) -> None:
    """Of a graph in several parts too, where eigenvalues are equal."""
    graph = neighbor_graph(blobs(spread)[0], neighbors)
    parts, part_of = connected_components(graph, directed=False)
    count = parts + 4
    found = leading_eigenvectors(graph, part_of, count, seed=0)
    dense, degrees = graph.toarray(), graph.sum(1)
    assert np.array_equal(dense, dense.T)
    values, vectors = np.linalg.eigh(dense / np.sqrt(np.outer(degrees, degrees)))
    expected = vectors[:, -count:]
    np.testing.assert_allclose(found.T @ found, np.eye(count), atol=1e-6)
    assert values[-count] - values[-count - 1] > 1e-4, "the space is well defined"
    np.testing.assert_allclose(found @ found.T, expected @ expected.T, atol=1e-3)


def test_the_graph_joins_each_vector_with_its_nearest() -> None:
    vectors, _ = blobs(5.0)
    apart = np.square(vectors[:, None].astype(float) - vectors).sum(2)
    np.fill_diagonal(apart, np.inf)
    near = apart <= np.sort(apart, 1)[:, [6]]  # (N, N)
    np.testing.assert_array_equal(neighbor_graph(vectors, 7).toarray(), (near.astype(float) + near.T) / 2)


def test_parts_that_are_more_than_the_clusters_are_joined() -> None:
    vectors, _ = blobs(0.1)
    assert connected_components(neighbor_graph(vectors, 3))[0] >= 5
    found = group(SpectralConfig(k=2, neighbors=3), vectors, 2)
    assert len(set(found.cluster_ids)) == 2
    assert found.distances.max() < np.square(vectors[:, None] - vectors).sum(2).max()


def test_the_stage_writes_what_pixels_and_other_splits_compare_with() -> None:
    vectors, owners = blobs(1.0)
    ids = [f"train/x/{number:03d}" for number in range(250)] + [f"test/x/{number:03d}" for number in range(50)]
    fabricate_features(vectors, ids)
    written = []
    for _ in range(2):
        main(SpectralConfig(k=5, neighbors=10))
        centroids, assignments = read_centroids(), read_assignments()
        written.append((centroids.embeddings.tobytes(), assignments.cluster_ids.tobytes()))
    assert written[0] == written[1]
    assert centroids.normalize_at_use
    assert centroids.sizes.sum() == 250
    assert adjusted_rand_score(owners, assignments.cluster_ids) == 1
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for cluster in range(5):
        members = unit[:250][assignments.cluster_ids[:250] == cluster]
        np.testing.assert_allclose(centroids.embeddings[cluster], members.mean(0), atol=1e-5)
    apart = np.square(unit[250:, None] - centroids.embeddings).sum(2)
    np.testing.assert_array_equal(assignments.cluster_ids[250:], apart.argmin(1))


@pytest.mark.parametrize(
    ("count", "values", "message"),
    [
        (8, {"k": 9, "neighbors": 2}, "8 vectors cannot form 9 clusters; lower cluster.k"),
        (8, {"k": 2, "neighbors": 8}, "cluster.neighbors: 8 vectors are too few for 8 neighbors each"),
    ],
)
def test_too_few_vectors_say_what_to_change(count: int, values: dict[str, int], message: str) -> None:
    with pytest.raises(UserError, match=message):
        group(SpectralConfig(**values), blobs(1.0)[0][:count], values["k"])


def test_twins_stay_together() -> None:
    vectors = np.repeat(np.eye(3, dtype=np.float32), 8, 0)
    found = group(SpectralConfig(k=3, neighbors=4), vectors, 3).cluster_ids
    assert [len(set(found[start : start + 8])) for start in (0, 8, 16)] == [1, 1, 1]
    assert len(set(found)) == 3


def test_a_diverged_representation_is_named() -> None:
    vectors = blobs(1.0)[0]
    vectors[3, 4] = np.inf
    with pytest.raises(UserError, match="not finite"):
        group(SpectralConfig(k=5, neighbors=10), vectors, 5)
