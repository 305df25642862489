"""Lloyd's iterations over vectors that are looked at in parts, against scikit-learn's from the same start."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from stages.core import streamed_kmeans
from stages.core.artifacts.features import Feature, read_features, write_features
from stages.core.errors import UserError
from stages.core.faiss_ops import normalize_rows
from stages.core.streamed_kmeans import VectorRows, assign, improve, normalize_in_place

RANDOM = np.random.default_rng(0)
VECTORS = (RANDOM.normal(size=(700, 6)) + 2 * RANDOM.normal(size=(7, 6))[RANDOM.integers(0, 7, 700)]).astype(np.float16)
SOME = np.flatnonzero(np.arange(700) % 7 != 3)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed_kmeans, "_VALUES_AT_ONCE", 96 * 6)


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_lloyds_iterations_are_scikit_learns(kind: type[np.floating]) -> None:
    vectors, centroids = VectorRows(VECTORS.astype(kind), SOME), VECTORS[:7].astype(np.float32)
    plain = VECTORS[SOME].astype(np.float64)
    expected = KMeans(7, init=VECTORS[:7].astype(np.float64), n_init=1, max_iter=12, tol=0).fit(plain)
    for _ in range(12):
        centroids = improve(vectors, centroids)
    np.testing.assert_allclose(centroids, expected.cluster_centers_, atol=1e-4)
    distances, cluster_ids = assign(vectors, centroids)
    np.testing.assert_array_equal(cluster_ids, expected.predict(plain))
    assert distances.sum() == pytest.approx(np.square(plain - centroids[cluster_ids]).sum(), rel=1e-4)


def test_a_cluster_that_loses_its_vectors_starts_again() -> None:
    table = np.concatenate([np.zeros((40, 2)), np.full((40, 2), 9), [[50, 50]]]).astype(np.float16)
    centroids = improve(VectorRows(table, np.arange(81)), np.array([[0, 0], [9, 9], [-99, 0]], np.float32))
    np.testing.assert_allclose(centroids, [[0, 0], [10, 10], [50, 50]])


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_rows_get_length_one_in_place_as_in_one_piece(kind: type[np.floating]) -> None:
    table = VECTORS.astype(kind)
    normalize_in_place(table)
    assert table.dtype == kind
    assert table.tobytes() == normalize_rows(VECTORS.astype(np.float32)).astype(kind).tobytes()


def test_what_forms_no_clusters_is_named() -> None:
    with pytest.raises(UserError, match="600 vectors cannot form 601 clusters"):
        VectorRows(VECTORS, SOME).check(601)
    broken = VECTORS.copy()
    broken[-1, 2] = np.nan
    VectorRows(broken, np.arange(699)).check(7)
    with pytest.raises(UserError, match="not finite"):
        VectorRows(broken, np.arange(700)).check(7)


def test_many_vectors_stay_in_float16(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ids = [f"train/{number:03d}" for number in range(700)]
    write_features(
        (Feature(*row) for row in zip(ids, [0] * 700, [1] * 700, VECTORS, strict=True)), 6, "float16", "image"
    )
    assert read_features(halves_above=699).embeddings.dtype == np.float16
    assert read_features(halves_above=700).embeddings.dtype == read_features().embeddings.dtype == np.float32
    np.testing.assert_array_equal(read_features(halves_above=699).embeddings, VECTORS)
    few = read_features(among=ids[5:9])
    np.testing.assert_array_equal(few.embeddings, VECTORS[5:9])
    assert few.image_ids == ids[5:9]
