"""Features and clusters come back as they were written."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.core.artifacts.clusters import Assignments, Centroids, read_assignments, read_centroids, write_clusters
from stages.core.artifacts.features import Feature, FeatureFormat, read_features, write_feature_shard, write_features
from stages.core.artifacts.shards import atomic_out
from stages.core.config.groups import GROUPS
from stages.core.errors import UserError


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


EMBEDDINGS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
ROWS = [Feature(f"image{number // 2}", number % 2, 10 + number, EMBEDDINGS[number]) for number in range(5)]


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_come_back(dtype: str) -> None:
    write_features(iter(ROWS), 3, dtype, "image")
    read = read_features()
    assert read.image_ids == ["image0", "image0", "image1", "image1", "image2"]
    assert read.region_ids.tolist() == [0, 1, 0, 1, 0]
    assert read.areas.tolist() == [10, 11, 12, 13, 14]
    assert read.embeddings.dtype == np.float32
    np.testing.assert_array_equal(read.embeddings, EMBEDDINGS.astype(dtype).astype(np.float32))


def test_features_are_plain_parquet() -> None:
    write_features(ROWS, 3, "float32", "image")
    table = pq.read_table("artifacts/extract/part-00000.parquet")
    assert str(table.schema.field("embedding").type) == "fixed_size_list<element: float>[3]"
    assert table.column("embedding")[4].as_py() == EMBEDDINGS[4].tolist()


def test_no_features_at_all_are_legal() -> None:
    write_features([], 3, "float16", "superpixel")
    read = read_features()
    assert read.image_ids == []
    assert read.embeddings.shape == (0, 3)


def test_clusters_come_back() -> None:
    centroids = Centroids(EMBEDDINGS, np.array([3, 0, 1, 9, 2]), normalize_at_use=True)
    assignments = Assignments(
        ["a", "a", "b"], np.array([0, 1, 0], np.int32), np.array([4, 0, 1], np.int32), np.array([0.5, 0, 2], np.float32)
    )
    write_clusters(centroids, assignments, "kmeans")
    read = read_centroids()
    np.testing.assert_array_equal(read.embeddings, EMBEDDINGS)
    assert read.sizes.tolist() == [3, 0, 1, 9, 2]
    assert read.normalize_at_use is True
    for got, wanted in zip(read_assignments(), assignments, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_no_clusters_at_all_are_legal() -> None:
    nothing = np.zeros(0, np.int32)
    write_clusters(
        Centroids(np.zeros((0, 3), np.float32), np.zeros(0, np.int64), normalize_at_use=False),
        Assignments([], nothing, nothing, np.zeros(0, np.float32)),
        "none",
    )
    assert read_centroids().embeddings.shape == (0, 3)
    assert read_assignments().image_ids == []


def test_a_missing_artifact_says_what_to_run() -> None:
    for read, name in [(read_features, "extract"), (read_centroids, "cluster"), (read_assignments, "cluster")]:
        with pytest.raises(UserError, match=f"artifacts/{name}/.*dvc repro {name}"):
            read()


def test_groups_and_boxes_come_back_and_leave_other_files_as_they_were() -> None:
    described = FeatureFormat("windows", 3, "float16", has_groups=True, has_boxes=True)
    boxes = [(0.25, 0, 0.5, 1 / (number + 1)) for number in range(5)]
    groups = ["surroundings", "object", "object", "surroundings", "object"]
    rows = [row._replace(group=group, box=box) for row, group, box in zip(ROWS, groups, boxes, strict=True)]
    with atomic_out(Path("artifacts/extract"), "features", "extract", "windows") as out:
        write_feature_shard(out / "part-00000.parquet", described, rows)
        write_feature_shard(out / "part-00001.parquet", described, [])
    read = read_features()
    assert [GROUPS[group] for group in read.groups] == groups
    np.testing.assert_array_equal(read.boxes, np.array(boxes, np.float32))
    table = pq.read_table("artifacts/extract/part-00000.parquet")
    assert table.column("group").to_pylist() == groups
    assert str(table.schema.field("box").type) == "fixed_size_list<element: float>[4]"
    nothing = np.zeros(2, np.int32)
    found = Assignments(["a", "b"], nothing, nothing, nothing.astype(np.float32), read.boxes[:2])
    write_clusters(Centroids(EMBEDDINGS, np.ones(5, np.int64), True, groups=read.groups), found, "kmeans")
    assert read_centroids().groups.tolist() == [1, 0, 0, 1, 0]
    np.testing.assert_array_equal(read_assignments().boxes, read.boxes[:2])
    assert read_assignments().take(np.array([False, True])).image_ids == ["b"]
    write_features(ROWS, 3, "float32", "image")
    assert (read_features().groups, read_features().boxes) == (None, None)
    assert pq.read_table("artifacts/extract/part-00000.parquet").column_names == [
        "image_id",
        "region_id",
        "area",
        "embedding",
    ]
