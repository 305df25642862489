"""Other numbers of clusters beside k, and how stable each is; what is trained on the clusters does not see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stages.cluster.__main__ import main
from stages.cluster.config import ClusterConfig
from stages.cluster.methods.kmeans import KMeansConfig
from stages.cluster.methods.spectral import SpectralConfig
from stages.cluster.stability import compare
from stages.core.artifacts.clusters import OUT, read_assignments
from stages.core.artifacts.granularity import FOLDER, numbers, read_granularity, read_stability
from stages.core.config.groups import GroupCounts
from stages.core.errors import UserError
from stages.core.streamed_kmeans import VectorRows
from tests.fabricate import fabricate_features

CONFIG = KMeansConfig(k=4, restarts=4, normalize=False)


def blobs(count: int, spread: float = 0.4) -> np.ndarray:
    """Four groups at the corners of a square."""
    rng = np.random.default_rng(1)
    corners = np.array([(0, 0), (0, 9), (9, 0), (9, 9)])[np.arange(count) % 4]
    return (corners + spread * rng.normal(size=(count, 2))).astype(np.float32)


def fabricate(count: int = 200) -> None:
    ids = [f"{'test' if number % 10 == 9 else 'train'}/{number:03d}" for number in range(count)]
    order = np.argsort(ids)
    fabricate_features(blobs(count)[order], [ids[row] for row in order])


def read_outs() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in OUT.iterdir() if path.is_file()}


def test_what_is_trained_on_is_the_same_with_and_without_further_numbers() -> None:
    fabricate()
    main(CONFIG)
    plain = read_outs()
    assert (set(plain), list(numbers())) == ({"centroids.parquet", "assignments.parquet", "manifest.json"}, [])
    main(CONFIG.model_copy(update={"also": (2, 8)}))
    assert read_outs() == plain
    assert numbers() == [2, 8]
    found = {k: read_granularity(k) for k in (2, 8)}
    for k in (2, 8):
        main(CONFIG.model_copy(update={"k": k, "stability": 0}))
        np.testing.assert_array_equal(found[k].cluster_ids, read_assignments().cluster_ids)
    assert read_stability() is None


@pytest.mark.parametrize("config", [CONFIG, SpectralConfig(k=4, neighbors=5, normalize=False)])
def test_the_number_of_groups_is_the_most_stable(config: ClusterConfig) -> None:
    fabricate()
    main(config.model_copy(update={"also": (3, 6), "stability": 150}))
    stability = read_stability()
    assert stability is not None
    assert stability.vectors == 150
    assert [(draw.k, draw.draw) for draw in stability.draws] == [(k, draw) for k in (3, 4, 6) for draw in range(10)]
    halves = {k: np.mean([draw.halves for draw in stability.draws if draw.k == k]) for k in (3, 4, 6)}
    assert halves[4] == pytest.approx(1)
    assert max(halves[3], halves[6]) < 0.9
    assert all(draw.jaccard == draw.seeds == 1 for draw in stability.draws if draw.k == 4)


def test_vectors_without_groups_are_not_called_stable_at_any_number() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 16)).astype(np.float32)
    for k in (2, 10, 30):
        found = [compare(CONFIG, noise, k, draw) for draw in range(5)]
        assert np.mean([one.halves for one in found if one]) < 0.2


def test_killed_work_goes_on_and_ends_in_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate()
    config = CONFIG.model_copy(update={"also": (2,)})
    main(config)
    whole = {path.name: path.read_bytes() for path in (OUT / FOLDER).rglob("*") if path.is_file()}
    calls = []

    def group(self: KMeansConfig, vectors: VectorRows, k: int, work: Path | None) -> object:
        calls.append(k)
        if len(calls) == 12:
            raise KeyboardInterrupt
        return real(self, vectors, k, work)

    real = KMeansConfig.group
    monkeypatch.setattr(KMeansConfig, "group", group)
    with pytest.raises(KeyboardInterrupt):
        main(config)
    main(config)
    # 1 + 1 + 2 * 10 * 3 in one go; what was done of the first run is not done again: one number, and 3 draws of it.
    assert len(calls) == 12 + (62 - 1 - 3 * 3)
    assert {path.name: path.read_bytes() for path in (OUT / FOLDER).rglob("*") if path.is_file()} == whole
    assert not list(Path(".checkpoints").glob("cluster/*"))


def test_a_number_that_cannot_be_is_named_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    fabricate()
    monkeypatch.setattr(KMeansConfig, "group", None)
    with pytest.raises(UserError, match=r"^cluster\.also: 180 vectors cannot form 181 clusters; leave it out$"):
        main(CONFIG.model_copy(update={"also": (5, 181)}))


def test_a_number_too_large_for_the_parts_is_left_out_of_the_measurement() -> None:
    fabricate()
    main(CONFIG.model_copy(update={"also": (100,)}))
    stability = read_stability()
    assert stability is not None
    assert {draw.k for draw in stability.draws} == {4}
    assert numbers() == [100]


def test_what_has_no_meaning_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"also: goes with k; with groups, .* it must be"):
        KMeansConfig(k=None, groups=GroupCounts(object=3), also=(5,))
    with pytest.raises(ValidationError):
        KMeansConfig(k=4, also=(1,))


def test_a_number_that_was_taken_may_stay_among_the_others() -> None:
    config = KMeansConfig(k=9, also=(9, 2, 9))
    assert (config.also, config.further) == ((2, 9), (2,))
