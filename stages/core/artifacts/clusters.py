"""Artifact `clusters`: centroids, and the cluster of every photograph or region."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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


def write_clusters(centroids: Centroids, assignments: Assignments, method: str) -> None:
    """Write `artifacts/cluster`."""
    head = {"contract": contract_name("clusters"), "stage": "cluster", "method": method}
    with atomic_out(OUT, "clusters", "cluster", method) as out:
        metadata = {**head, "normalize_at_use": centroids.normalize_at_use, "space": centroids.space}
        write_table(out / _CENTROIDS, _centroid_table(centroids), metadata)
        write_table(out / _ASSIGNMENTS, _assignment_table(assignments), head)


def read_centroids(out: Path = OUT) -> Centroids:
    """Read the centroids of `artifacts/cluster`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    table = read_table(out / _CENTROIDS, "clusters").combine_chunks()
    metadata = read_table_metadata(out / _CENTROIDS, "clusters")
    column = table.column("embedding").combine_chunks()
    embeddings = column.flatten().to_numpy(zero_copy_only=False).reshape(len(table), column.type.list_size)
    return Centroids(embeddings, table.column("size").to_numpy(), bool(metadata["normalize_at_use"]), metadata["space"])


def read_assignments(out: Path = OUT) -> Assignments:
    """Read the assignments of `artifacts/cluster`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    table = read_table(out / _ASSIGNMENTS, "clusters")
    columns: Sequence[Any] = [table.column(name).to_numpy() for name in ("region_id", "cluster_id", "distance")]
    return Assignments(table.column("image_id").to_pylist(), *columns)


def _centroid_table(centroids: Centroids) -> pa.Table:
    count, size = centroids.embeddings.shape
    flat = pa.array(centroids.embeddings.astype(np.float32).reshape(-1))
    return pa.table(
        {
            "cluster_id": pa.array(range(count), pa.int32()),
            "size": pa.array(centroids.sizes, pa.int64()),
            "embedding": pa.FixedSizeListArray.from_arrays(flat, size),
        }
    )


def _assignment_table(assignments: Assignments) -> pa.Table:
    return pa.table(
        {
            "image_id": pa.array(assignments.image_ids, pa.string()),
            "region_id": pa.array(assignments.region_ids, pa.int32()),
            "cluster_id": pa.array(assignments.cluster_ids, pa.int32()),
            "distance": pa.array(assignments.distances, pa.float32()),
        }
    )
