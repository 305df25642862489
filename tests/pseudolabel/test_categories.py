"""What a person made of the clusters: merged, cut, background; and the number of outputs that are learnt for it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from stages.core.artifacts.categories import centroid_hash, count_categories, cut_cluster, read_clusters
from stages.core.artifacts.clusters import Assignments, Centroids, read_assignments, write_clusters
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import IGNORE, open_label_maps
from stages.core.config.params import validate_section
from stages.core.errors import UserError
from stages.pseudolabel import Config
from stages.pseudolabel.__main__ import main
from stages.pseudolabel.categories import relabel
from tests.fabricate import fabricate_features

IDS = [f"train/{number:02d}" for number in range(12)]
VECTORS = np.array([[5, 0], [0, 5], [-5, 0], [0, -5]], np.float32).repeat(3, axis=0) + np.arange(12)[:, None] / 50


@pytest.fixture(autouse=True)
def _clusters() -> None:
    """Three clusters; the last one is two heaps of three."""
    fabricate_features(VECTORS, IDS)
    ids = np.array([0, 1, 2, 2], np.int32).repeat(3)
    centroids = np.stack([VECTORS[ids == cluster].mean(0) for cluster in range(3)])
    distances = ((VECTORS - centroids[ids]) ** 2).sum(1)
    clusters = Assignments(IDS, np.zeros(12, np.int32), ids, distances)
    write_clusters(Centroids(centroids, np.bincount(ids), False), clusters, "kmeans")


def label(**categories: object) -> list[int]:
    """The label of each photograph."""
    values = {"centroids": centroid_hash(), **categories}
    section = {"method": "image", "supervision": "images", "categories": values}
    main(validate_section("pseudolabel", section, Config, "test"))
    return [int(each.map[0, 0]) for each in open_label_maps("pseudolabel")]


def test_clusters_are_merged_cut_and_dropped() -> None:
    found = label(splits=[{"id": 3, "parts": [4, 5]}], merged=[[5, 1]], background=[2])
    assert found[:6] == [5, 5, 5, 0, 0, 0]
    assert sorted([found[6:9], found[9:]]) == [[4, 4, 4], [5, 5, 5]]
    assert count_categories() == 5


def test_parts_are_those_of_another_kmeans() -> None:
    parts = cut_cluster(read_clusters(), 2, 2)
    other = KMeans(2, n_init=10, random_state=0).fit(VECTORS[parts.rows])
    np.testing.assert_array_equal(parts.rows, range(6, 12))
    assert (parts.part == other.labels_).all() or (parts.part != other.labels_).all()
    np.testing.assert_allclose(parts.distances.sum(), other.inertia_, rtol=1e-4)
    np.testing.assert_array_equal(parts.part, cut_cluster(read_clusters(), 2, 2).part)


def test_without_a_person_every_cluster_is_a_category() -> None:
    main(validate_section("pseudolabel", {"method": "image"}, Config, "test"))
    found = [int(each.map[0, 0]) for each in open_label_maps("pseudolabel")]
    assert found == (read_assignments().cluster_ids + 1).tolist()
    assert count_categories() == 3


def test_pixels_that_are_ignored_stay_so() -> None:
    table = np.array([0, 2, 2, 0], np.uint16)
    np.testing.assert_array_equal(relabel(np.array([[0, 1], [IGNORE, 3]], np.uint16), table), [[0, 2], [IGNORE, 0]])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"centroids": "0" * 12}, "speaks of other clusters .000000000000. than artifacts/cluster holds now .*null$"),
        ({"merged": [[1, 4]]}, "pseudolabel.categories: no category 4; there are 1 to 3"),
        ({"merged": [[1, 2]], "background": [2]}, "category 2 stands in two places"),
        ({"splits": [{"id": 3, "parts": [4, 5]}], "merged": [[1, 3]]}, "cluster 3 is cut into 4, 5; say those"),
        ({"splits": [{"id": 3, "parts": [5, 6]}]}, "splits: parts must be numbered on from the clusters: 4, 5"),
        ({"splits": [{"id": 4, "parts": [4, 5]}]}, "splits: no cluster 4; there are 1 to 3"),
        ({"splits": [{"id": 1, "parts": [4, 5, 6, 7]}]}, "cluster 1 has 3 members: they cannot be cut into 4 parts"),
    ],
)
def test_what_does_not_fit_the_clusters_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(UserError, match=said):
        label(**values)
    assert len(read_images()) == 12
