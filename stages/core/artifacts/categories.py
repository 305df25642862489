"""Clusters as a person wants them: cut into parts, before a segmenter learns them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.clusters import OUT, Assignments, Centroids, read_assignments, read_centroids
from stages.core.artifacts.features import read_features
from stages.core.artifacts.shards import ARTIFACTS, MANIFEST, read_json, read_manifest
from stages.core.config.categories import SHORTEST_HASH, CategoriesConfig, SplitCluster
from stages.core.errors import UserError
from stages.core.faiss_ops import kmeans, normalize_rows

COUNT_FILE = "categories.json"
"""Beside label maps whose categories are not the clusters: how many numbers there are."""
_RESTARTS, _ITERATIONS, _SEED = 10, 25, 0


class Parts(NamedTuple):
    """The parts of one cluster, the largest first."""

    rows: npt.NDArray[np.int64]
    """(N,) the cluster's rows of the assignments."""
    part: npt.NDArray[np.int64]
    """(N,) which part each row belongs to, from 0."""
    distances: npt.NDArray[np.float32]
    """(N,) squared Euclidean distance to the part's center."""
    centroids: npt.NDArray[np.float32]
    """(P, D)"""


class Clusters(NamedTuple):
    """Centroids with the assignments to them."""

    centroids: Centroids
    assignments: Assignments
    cut: tuple[int, ...] = ()
    """Ids, from 0, of clusters whose members are those of their parts now."""


def read_clusters(out: Path = OUT) -> Clusters:
    """Read `artifacts/cluster` as a whole."""
    return Clusters(read_centroids(out), read_assignments(out))


def centroid_hash(out: Path = OUT) -> str:
    """Content hash of the centroids of some clusters; empty if there are no clusters."""
    return str(read_manifest(out, "clusters")["files"]["centroids.parquet"]) if (out / MANIFEST).is_file() else ""


def cut_cluster(clusters: Clusters, cluster: int, parts: int) -> Parts:
    """Cut one cluster into parts by k-means among its own vectors; the same every time.

    Args:
        clusters: All clusters.
        cluster: Which one, from 0.
        parts: How many parts.

    Raises:
        UserError: It has fewer vectors than that, or they are not in `artifacts/extract` any more.
    """
    assignments = clusters.assignments
    rows = np.flatnonzero(assignments.cluster_ids == cluster)
    if len(rows) < parts:
        raise UserError(f"cluster {cluster + 1} has {len(rows)} members: they cannot be cut into {parts} parts")
    vectors = _read_vectors(assignments, rows)
    vectors = normalize_rows(vectors) if clusters.centroids.normalize_at_use else vectors
    found = kmeans(vectors, parts, _RESTARTS, _ITERATIONS, _SEED)
    order = np.argsort(-np.bincount(found.cluster_ids, minlength=parts), kind="stable")
    return Parts(rows, np.argsort(order)[found.cluster_ids], found.distances, found.centroids[order])


def cut_clusters(clusters: Clusters, splits: tuple[SplitCluster, ...]) -> Clusters:
    """All clusters with some of them cut: parts follow them, those that are cut have no members left."""
    centroids, assignments = clusters.centroids, clusters.assignments
    ids, distances, added = assignments.cluster_ids.copy(), assignments.distances.copy(), list[Parts]()
    for split in splits:
        found = cut_cluster(clusters, split.id - 1, len(split.parts))
        ids[found.rows] = np.array(split.parts, np.int32)[found.part] - 1
        distances[found.rows] = found.distances
        added.append(found)
    embeddings = np.concatenate([centroids.embeddings, *(found.centroids for found in added)])
    groups = centroids.groups
    if groups is not None:
        of_parts = [np.repeat(groups[split.id - 1], len(split.parts)) for split in splits]
        groups = np.concatenate([groups, *of_parts])
    sizes = np.bincount(ids, minlength=len(embeddings))
    return Clusters(
        centroids._replace(embeddings=embeddings, sizes=sizes, groups=groups),
        assignments._replace(cluster_ids=ids, distances=distances),
        tuple(split.id - 1 for split in splits),
    )


def cut_as_configured(clusters: Clusters, config: CategoriesConfig) -> Clusters:
    """The clusters as `pseudolabel.categories` cuts them.

    Raises:
        UserError: It speaks of other clusters than these, or of numbers that they do not have.
    """
    if not (found := centroid_hash()).startswith(config.centroids):
        raise UserError(
            f"pseudolabel.categories speaks of other clusters ({config.centroids[:SHORTEST_HASH]}) than {OUT} holds "
            f"now ({found[:SHORTEST_HASH]}); look at them (`luss names`), then `luss names --apply`, or learn the "
            "clusters as they are: luss set pseudolabel.categories=null"
        )
    try:
        config.resolve(len(clusters.centroids.embeddings))
    except ValueError as error:
        raise UserError(f"params.yaml: pseudolabel.categories: {error}") from None
    return cut_clusters(clusters, config.splits)


def count_categories(labels: Path = ARTIFACTS / "pseudolabel") -> int:
    """How many numbers label maps of clusters may hold beside 0: the clusters, or what a person made of them."""
    path = labels / COUNT_FILE
    return int(read_json(path)["categories"]) if path.is_file() else len(read_centroids().embeddings)


def _read_vectors(assignments: Assignments, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(N, D) the vectors of some rows."""
    wanted = [(assignments.image_ids[row], int(assignments.region_ids[row])) for row in rows]
    features = read_features(among={image_id for image_id, _ in wanted})
    place = {key: row for row, key in enumerate(zip(features.image_ids, features.region_ids.tolist(), strict=True))}
    if gone := [key for key in wanted if key not in place]:
        raise UserError(f"artifacts/extract: no vector of {gone[0][0]}; run `dvc repro`")
    return np.asarray(features.embeddings[[place[key] for key in wanted]])
