"""Groups of windows are clustered each by itself, as if the other were not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from stages.cluster.__main__ import main
from stages.cluster.methods.kmeans import KMeansConfig
from stages.core.artifacts.clusters import read_assignments, read_centroids
from stages.core.artifacts.features import Feature, FeatureFormat, write_feature_shard
from stages.core.artifacts.image_index import Photo, write_images
from stages.core.artifacts.shards import atomic_out
from stages.core.config.groups import GROUPS
from stages.core.errors import UserError
from tests.fabricate import fabricate_features

RANDOM = np.random.default_rng(0)
GROUP_OF = RANDOM.integers(0, 2, 80)
VECTORS = (RANDOM.normal(size=(80, 4)) + 3 * np.eye(4)[RANDOM.integers(0, 4, 80)]).astype(np.float32)
IDS = [f"{'validation' if number % 10 == 9 else 'train'}/{number // 2:03d}" for number in range(80)]
CONFIG = {"k": None, "groups": {"object": 3, "surroundings": 2}, "restarts": 2, "normalize": False}


def write_windows(group_of: np.ndarray) -> None:
    order = sorted(range(80), key=lambda row: (IDS[row], row))
    rows = [Feature(IDS[row], row + 1, 9, VECTORS[row], GROUPS[group_of[row]], (0, 0, 1, row / 80)) for row in order]
    write_images([Photo(one, one.partition("/")[0], one, 9, 9, 1, "0") for one in sorted(set(IDS))], [], "folder")
    described = FeatureFormat("sliding_windows", 4, "float32", has_groups=True, has_boxes=True)
    with atomic_out(Path("artifacts/extract"), "features", "extract", described.method) as out:
        write_feature_shard(out / "part-00000.parquet", described, rows)


def test_each_group_is_clustered_as_it_would_be_alone() -> None:
    write_windows(GROUP_OF)
    main(KMeansConfig.model_validate(CONFIG))
    centroids, assignments = read_centroids(), read_assignments()
    assert centroids.groups.tolist() == [0, 0, 0, 1, 1]
    assert len(assignments.image_ids) == 80
    np.testing.assert_array_equal(assignments.boxes[:, 3], (assignments.region_ids - 1).astype(np.float32) / 80)
    train = np.array([one.startswith("train") for one in assignments.image_ids])
    np.testing.assert_array_equal(centroids.sizes, np.bincount(assignments.cluster_ids[train]))
    for number, (k, first) in enumerate([(3, 0), (2, 3)]):
        own = np.array([GROUP_OF[region - 1] == number for region in assignments.region_ids])
        np.testing.assert_array_equal(own, np.isin(assignments.cluster_ids, range(first, first + k)))
        rows = assignments.region_ids[own] - 1
        fabricate_features(VECTORS[rows], [IDS[row] for row in rows])
        main(KMeansConfig(k=k, restarts=2, normalize=False))
        np.testing.assert_array_equal(read_centroids().embeddings, centroids.embeddings[first : first + k])
        np.testing.assert_array_equal(read_assignments().cluster_ids + first, assignments.cluster_ids[own])
        assert read_centroids().groups is None


def test_a_group_may_be_left_out() -> None:
    write_windows(GROUP_OF)
    main(KMeansConfig.model_validate({**CONFIG, "groups": {"object": 3}}))
    assert read_centroids().groups.tolist() == [0, 0, 0]
    assert sorted(read_assignments().region_ids - 1) == np.flatnonzero(GROUP_OF == 0).tolist()


def test_groups_that_are_not_there_are_named() -> None:
    write_windows(np.zeros(80, int))
    with pytest.raises(UserError, match=r"cluster\.groups\.surroundings: 0 vectors cannot form 2 clusters"):
        main(KMeansConfig.model_validate(CONFIG))
    with pytest.raises(UserError, match=r"cluster\.groups\.object: 72 vectors cannot form 73 clusters"):
        main(KMeansConfig.model_validate({**CONFIG, "groups": {"object": 73}}))
    fabricate_features(VECTORS, [f"train/{number:03d}" for number in range(80)])
    with pytest.raises(UserError, match=r"cluster\.groups: the vectors have no groups"):
        main(KMeansConfig.model_validate(CONFIG))


@pytest.mark.parametrize("wrong", [{"k": 5}, {"groups": None}, {"groups": {"object": 1}}])
def test_a_section_says_once_how_many(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"set one of k and groups|two clusters together"):
        KMeansConfig.model_validate({**CONFIG, **wrong})
