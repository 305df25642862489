"""k-means of vectors in float16 that are looked at in parts, against scikit-learn's from the same start."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from stages.cluster.__main__ import main
from stages.cluster.methods.kmeans import KMeansConfig
from stages.core import streamed_kmeans
from stages.core.artifacts.clusters import read_assignments, read_centroids
from stages.core.artifacts.features import Feature, read_features, write_features
from stages.core.artifacts.image_index import Photo, write_images
from stages.core.errors import UserError
from stages.core.streamed_kmeans import assign, unit_rows

RANDOM = np.random.default_rng(0)
VECTORS = (RANDOM.normal(size=(700, 6)) + 2 * RANDOM.normal(size=(7, 6))[RANDOM.integers(0, 7, 700)]).astype(np.float16)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_kmeans, "_AT_ONCE", 96)


def test_lloyds_iterations_are_scikit_learns() -> None:
    found = streamed_kmeans.streamed_kmeans(VECTORS, 7, 1, 12, 3)
    rows = np.sort(np.random.default_rng(3).spawn(1)[0].permutation(700)[:7])
    plain = VECTORS.astype(np.float64)
    expected = KMeans(7, init=plain[rows], n_init=1, max_iter=12, tol=0, algorithm="lloyd").fit(plain)
    np.testing.assert_allclose(found.centroids, expected.cluster_centers_, atol=1e-4)
    np.testing.assert_array_equal(found.cluster_ids, expected.predict(plain))
    assert found.objective == pytest.approx(expected.inertia_, rel=1e-4)
    best = streamed_kmeans.streamed_kmeans(VECTORS, 7, 5, 12, 3)
    assert best.objective <= found.objective
    assert best.objective == pytest.approx(np.square(plain - best.centroids[best.cluster_ids]).sum(), rel=1e-4)


def test_a_cluster_that_loses_its_vectors_starts_again() -> None:
    vectors = np.concatenate([np.zeros((40, 2)), np.full((40, 2), 9), [[50, 50]]]).astype(np.float16)
    found = streamed_kmeans.streamed_kmeans(vectors, 3, 1, 5, 0)
    assert sorted(np.bincount(found.cluster_ids)) == [1, 40, 40]


def test_rows_of_length_one_and_their_nearest() -> None:
    unit = unit_rows(VECTORS)
    assert unit.dtype == np.float16
    np.testing.assert_allclose(np.linalg.norm(unit.astype(np.float32), axis=1), 1, atol=2e-3)
    centroids = VECTORS[:5].astype(np.float32)
    for got, whole in zip(assign(VECTORS, centroids), assign(VECTORS.astype(np.float32), centroids), strict=True):
        np.testing.assert_allclose(got, whole, atol=1e-4)


def test_what_forms_no_clusters_is_named() -> None:
    with pytest.raises(UserError, match="700 vectors cannot form 701 clusters"):
        streamed_kmeans.streamed_kmeans(VECTORS, 701, 1, 1, 0)
    with pytest.raises(UserError, match="not finite"):
        streamed_kmeans.streamed_kmeans(np.full((9, 2), np.nan, np.float16), 2, 1, 1, 0)


def test_the_stage_takes_it_for_many_vectors_in_float16(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ids = [f"train/{number:03d}" for number in range(700)]
    write_images([Photo(one, "train", one, 1, 1, 1, "0") for one in ids], [], "folder")
    write_features(
        (Feature(*row) for row in zip(ids, [0] * 700, [1] * 700, VECTORS, strict=True)), 6, "float16", "image"
    )
    assert read_features(halves_above=699).embeddings.dtype == np.float16
    assert read_features(halves_above=700).embeddings.dtype == read_features().embeddings.dtype == np.float32
    monkeypatch.setattr(streamed_kmeans, "STREAMED", 600)
    main(KMeansConfig(k=7, restarts=1, iterations=12, seed=3, normalize=False))
    found = streamed_kmeans.streamed_kmeans(VECTORS, 7, 1, 12, 3)
    np.testing.assert_array_equal(read_centroids().embeddings, found.centroids)
    np.testing.assert_array_equal(read_assignments().cluster_ids, found.cluster_ids)
