"""Artifact `clusters`: centroids, and the cluster of every photograph or region.

Where groups of parts were clustered each by itself, a centroid carries its group; the boxes of parts go through.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.core.artifacts.features import group_column, read_groups, read_vectors, vector_column
from stages.core.artifacts.shards import (
    ARTIFACTS,
    atomic_out,
    contract_name,
    read_table,
    read_table_metadata,
    write_table,
)
from stages.core.config.networks import Space
from stages.core.errors import UserError

OUT = ARTIFACTS / "cluster"
_CENTROIDS, _ASSIGNMENTS = "centroids.parquet", "assignments.parquet"


class Centroids(NamedTuple):
    """Cluster centers as k-means left them (means of unit vectors are not unit vectors)."""

    embeddings: npt.NDArray[np.float32]
    """(K, D), raw; row = cluster id."""
    sizes: npt.NDArray[np.int64]
    """(K,) members of each cluster."""
    normalize_at_use: bool
    """Whether vectors and centroids are L2-normalized before they are compared."""
    space: Space = "stage4"
    """Which features the vectors are, e.g. the last map of the backbone."""
    groups: npt.NDArray[np.int8] | None = None
    """(K,) the group of each cluster, as a position in `GROUPS`; None where all vectors were clustered together."""

    def check_space(self, pixels: Space, remedy: str) -> None:
        """Check that the centroids lie in the feature space of a model's pixels; equal sizes alone do not tell.

        Args:
            pixels: Feature space of the pixels.
            remedy: What the user can do about it, for the message.

        Raises:
            UserError: The spaces differ.
        """
        if self.space != pixels:
            raise UserError(
                f"artifacts/cluster: its centroids are of {self.space} vectors ({self.embeddings.shape[1]} channels), "
                f"the pixels of the model of {pixels} ones: they do not compare; {remedy}"
            )


class Assignments(NamedTuple):
    """The cluster of every region, sorted by image and region."""

    image_ids: list[str]
    region_ids: npt.NDArray[np.int32]
    cluster_ids: npt.NDArray[np.int32]
    distances: npt.NDArray[np.float32]
    """Squared Euclidean distance to the centroid."""
    boxes: npt.NDArray[np.float32] | None = None
    """(N, 4) x, y, width, height as shares of the photograph; None where regions are no boxes."""

    def take(self, rows: npt.NDArray[np.bool_]) -> "Assignments":
        """The chosen ones of N rows."""
        if rows.all():
            return self
        return Assignments(
            [image_id for image_id, chosen in zip(self.image_ids, rows, strict=True) if chosen],
            self.region_ids[rows],
            self.cluster_ids[rows],
            self.distances[rows],
            None if self.boxes is None else self.boxes[rows],
        )


def write_clusters(
    centroids: Centroids, assignments: Assignments, method: str, out: Path = OUT, beside: Path | None = None
) -> None:
    """Write `artifacts/cluster`, or clusters of another number.

    Args:
        centroids: The centers.
        assignments: The cluster of every region.
        method: How they were found.
        out: Where they are written.
        beside: A folder that is copied into it under its own name; the manifest does not speak of it.
    """
    head = {"contract": contract_name("clusters"), "stage": "cluster", "method": method}
    with atomic_out(out, "clusters", "cluster", method) as partial:
        metadata = {**head, "normalize_at_use": centroids.normalize_at_use, "space": centroids.space}
        write_table(partial / _CENTROIDS, _centroid_table(centroids), metadata)
        write_table(partial / _ASSIGNMENTS, _assignment_table(assignments), head)
        if beside is not None:
            shutil.copytree(beside, partial / beside.name)


def read_centroids(out: Path = OUT) -> Centroids:
    """Read the centroids of `artifacts/cluster`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    table = read_table(out / _CENTROIDS, "clusters").combine_chunks()
    metadata = read_table_metadata(out / _CENTROIDS, "clusters")
    return Centroids(
        read_vectors(table, "embedding"),
        table.column("size").to_numpy(),
        bool(metadata["normalize_at_use"]),
        metadata["space"],
        read_groups(table),
    )


def read_assignments(out: Path = OUT) -> Assignments:
    """Read the assignments of `artifacts/cluster`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    table = read_table(out / _ASSIGNMENTS, "clusters")
    region_ids, cluster_ids, distances = (
        table.column(name).to_numpy() for name in ("region_id", "cluster_id", "distance")
    )
    boxes = read_vectors(table.combine_chunks(), "box") if "box" in table.column_names else None
    return Assignments(table.column("image_id").to_pylist(), region_ids, cluster_ids, distances, boxes)


def _centroid_table(centroids: Centroids) -> pa.Table:
    columns = {
        "cluster_id": pa.array(range(len(centroids.embeddings)), pa.int32()),
        "size": pa.array(centroids.sizes, pa.int64()),
        "embedding": vector_column(centroids.embeddings.astype(np.float32)),
    }
    if centroids.groups is not None:
        columns["group"] = group_column(centroids.groups)
    return pa.table(columns)


def _assignment_table(assignments: Assignments) -> pa.Table:
    columns = {
        "image_id": pa.array(assignments.image_ids, pa.string()),
        "region_id": pa.array(assignments.region_ids, pa.int32()),
        "cluster_id": pa.array(assignments.cluster_ids, pa.int32()),
        "distance": pa.array(assignments.distances, pa.float32()),
    }
    if assignments.boxes is not None:
        columns["box"] = vector_column(assignments.boxes)
    return pa.table(columns)
