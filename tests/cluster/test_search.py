"""Random starts on a sample: as good as on all vectors, nothing finished is lost, all bytes those of plain k-means."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stages.cluster import search as module
from stages.cluster.__main__ import main
from stages.cluster.methods.kmeans import KMeansConfig
from stages.cluster.search import Plan, search
from stages.core.artifacts.clusters import read_centroids
from stages.core.faiss_ops import kmeans, start_kmeans
from stages.core.streamed_kmeans import VectorRows, improve
from tests.fabricate import fabricate_features

RANDOM = np.random.default_rng(0)
VECTORS = (RANDOM.normal(size=(6000, 8)) + 2 * RANDOM.normal(size=(40, 8))[RANDOM.integers(0, 40, 6000)]).astype(
    np.float32
)
ALL = VectorRows(VECTORS, np.arange(6000))
PLAN = Plan(k=20, restarts=6, iterations=8, seed=1, sample=1280)


def interrupted(step: Callable[..., object], steps: Iterator[int]) -> Callable[..., object]:
    """As `step`, while there are steps."""

    def run(*args: object) -> object:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(*args)

    return run


def test_a_sample_that_is_all_gives_the_bytes_of_plain_k_means(tmp_path: Path) -> None:
    found, expected = search(ALL, PLAN._replace(sample=6000), tmp_path), kmeans(VECTORS, 20, 6, 8, 1)
    for got, plain in zip(found, expected, strict=True):
        assert np.asarray(got).tobytes() == np.asarray(plain).tobytes()


def test_the_best_start_of_a_sample_ends_as_low_as_that_of_all(tmp_path: Path) -> None:
    found = search(ALL, PLAN, tmp_path)
    assert found.objective <= 1.002 * kmeans(VECTORS, 20, 6, 8, 1).objective
    apart = np.square(VECTORS[:, None].astype(np.float64) - found.centroids).sum(2)
    np.testing.assert_array_equal(found.cluster_ids, apart.argmin(1))
    assert found.objective == pytest.approx(apart.min(1).sum(), rel=1e-5)


@pytest.mark.parametrize("kept", [1, 4, 6, 9])
def test_a_killed_search_goes_on_and_ends_in_the_same_bytes(
    kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SAVED_EVERY", 0)
    straight = search(ALL, PLAN, tmp_path / "straight")
    steps = iter(range(kept))
    for name in ("start_kmeans", "improve"):
        monkeypatch.setattr(module, name, interrupted(getattr(module, name), steps))
    with pytest.raises(KeyboardInterrupt):
        search(ALL, PLAN, tmp_path / "killed")
    rest = iter(range(14 - kept))
    for name, step in {"start_kmeans": start_kmeans, "improve": improve}.items():
        monkeypatch.setattr(module, name, interrupted(step, rest))
    resumed = search(ALL, PLAN, tmp_path / "killed")
    assert next(rest, None) is None, "no start and no iteration twice"
    assert [np.asarray(each).tobytes() for each in resumed] == [np.asarray(each).tobytes() for each in straight]


def test_a_damaged_file_of_a_search_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SAVED_EVERY", 0)
    whole = search(ALL, PLAN._replace(restarts=2), tmp_path)
    path = tmp_path / "search.npz"
    for data in (b"", path.read_bytes()[:500]):
        path.write_bytes(data)
        assert search(ALL, PLAN._replace(restarts=2), tmp_path).centroids.tobytes() == whole.centroids.tobytes()


def test_the_stage_clusters_photographs_by_a_sample(project: Path) -> None:
    ids = [f"{'train' if number % 3 else 'validation'}/{number:04d}" for number in range(6000)]
    fabricate_features(VECTORS, ids)
    main(KMeansConfig(k=20, restarts=2, iterations=3, normalize=False, sample=1500))
    train = VectorRows(VECTORS, np.flatnonzero(np.arange(6000) % 3))
    found = search(train, Plan(20, 2, 3, 0, 1500), project / "apart")
    np.testing.assert_array_equal(read_centroids().embeddings, found.centroids)
    assert not list(Path(".checkpoints").rglob("*.npz"))
