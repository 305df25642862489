"""The abstract config of the stage `cluster`."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import numpy.typing as npt
from pydantic import Field, field_validator, model_validator

from stages.core.config.groups import GROUPS, GroupCounts
from stages.core.config.params import Params
from stages.core.config.splits import Split
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments, Centroids
    from stages.core.artifacts.features import Features
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.faiss_ops import Clustering, Float32
    from stages.core.streamed_kmeans import VectorRows


class ClusterConfig(Params, ABC):
    """A method that groups vectors; its fields are the section `cluster` of params.yaml."""

    method: str
    """Names the way."""
    k: int | None = Field(ge=2, default=50)
    """Clusters; the benchmark uses as many as the data set has categories. null where `groups` says how many."""
    groups: GroupCounts | None = None
    """Clusters of each group, in place of `k`: a group is clustered by itself, and the ids of the next go on where its
    own end. For vectors of windows that `extract` tells apart. TransFGU: 12 and 15 on COCO-Stuff-27."""
    also: tuple[Annotated[int, Field(ge=2)], ...] = ()
    """Further numbers of clusters, each formed by itself beside `k`, for the report: which cluster splits into which,
    and which number is stable. Nothing is trained by them; `luss set cluster.k=20` takes one."""
    stability: int = Field(10_000, ge=0)
    """Vectors, drawn at random, on which the stability of `k` and `also` is measured, over halves of them and over
    seeds; more for many hundreds of clusters. 0: it is not measured."""
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose vectors form the clusters; vectors of others only receive the nearest one."""
    normalize: bool = True
    """L2-normalize the embeddings first, so that distance means angle. PASS: yes."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the starts, and of what is drawn to measure stability."""

    @model_validator(mode="after")
    def _says_how_many(self) -> "ClusterConfig":
        if (self.k is None) == (self.groups is None):
            raise ValueError("set one of k and groups, and the other to null")
        return self

    @field_validator("also")
    @classmethod
    def _sort(cls, also: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(also)))

    @model_validator(mode="after")
    def _goes_with_k(self) -> "ClusterConfig":
        if self.also and self.groups is not None:
            raise ValueError("also: goes with k; with groups, which are clustered apart, it must be []")
        return self

    @property
    def further(self) -> tuple[int, ...]:
        """The numbers `also` without `k`, which may be one of them since it was taken."""
        return tuple(k for k in self.also if k != self.k)

    @abstractmethod
    def group(self, vectors: "VectorRows", k: int, work: Path | None) -> "Clustering":
        """Group vectors into k clusters.

        Args:
            vectors: M of them, D numbers each, in float32, or in float16 where there are many.
            k: Clusters.
            work: Folder that survives a kill, for what is finished; not there yet. None for one of many small
                groupings, of which nothing is kept or told.

        Raises:
            UserError: There are too few of them, or one is not finite.
        """

    def prepare(self, features: "Features") -> None:
        """Bring the embeddings to length 1, if they are to be; in place, since a copy takes gigabytes."""
        from stages.core.streamed_kmeans import normalize_in_place

        if self.normalize:
            normalize_in_place(features.embeddings)

    def cluster(self, features: "Features", index: "ImageIndex", work: Path) -> "tuple[Centroids, Assignments]":
        """Group the embeddings; centroids are stored as the means that they are, not normalized.

        Args:
            features: The embeddings, prepared.
            index: The photographs.
            work: Folder of unfinished work; see `stages.core.resume`.

        Raises:
            UserError: A group has no vectors, or fewer than clusters.
        """
        from stages.core.artifacts.clusters import Assignments, Centroids
        from stages.core.streamed_kmeans import VectorRows, assign

        vectors, forms = features.embeddings, self.forming_rows(features, index)
        distances, cluster_ids = np.empty(len(vectors), np.float32), np.full(len(vectors), -1, np.int32)
        centroids: list[Float32] = []
        for part, k in self._parts(features, forms):
            first = sum(map(len, centroids))
            own, others = np.flatnonzero(part & forms), np.flatnonzero(part & ~forms)
            found = self.group(VectorRows(vectors, own), k, work / f"from-{first}")
            distances[own], cluster_ids[own] = found.distances, found.cluster_ids + first
            if len(others):
                distances[others], nearby = assign(VectorRows(vectors, others), found.centroids)
                cluster_ids[others] = nearby + first
            centroids.append(found.centroids)
        joined = np.concatenate(centroids)
        sizes = np.bincount(cluster_ids[forms & (cluster_ids >= 0)], minlength=len(joined))
        groups = np.repeat(np.arange(len(GROUPS), dtype=np.int8), self.groups.counts) if self.groups else None
        assignments = Assignments(features.image_ids, features.region_ids, cluster_ids, distances, features.boxes)
        return Centroids(joined, sizes, self.normalize, features.space, groups), assignments.take(cluster_ids >= 0)

    def forming_rows(self, features: "Features", index: "ImageIndex") -> npt.NDArray[np.bool_]:
        """(N,) whether a vector forms clusters, or only receives the nearest one."""
        grouped = set(index.in_splits(*self.splits).image_ids)
        return np.array([image_id in grouped for image_id in features.image_ids], bool)

    def _parts(self, features: "Features", forms: npt.NDArray[np.bool_]) -> list[tuple[npt.NDArray[np.bool_], int]]:
        """What is clustered by itself: rows (N,) and the number of clusters."""
        if self.groups is None:
            assert self.k is not None
            return [(np.ones_like(forms), self.k)]
        if features.groups is None:
            raise UserError(
                "cluster.groups: the vectors have no groups; take extract.method: sliding_windows, or set k"
            )
        parts = []
        for number, (name, k) in enumerate(zip(GROUPS, self.groups.counts, strict=True)):
            part = features.groups == number
            if k and (count := np.count_nonzero(part & forms)) < k:
                raise UserError(
                    f"cluster.groups.{name}: {count} vectors cannot form {k} clusters; lower it (0 leaves the group "
                    "out), keep more windows (section extract) or add photographs"
                )
            parts += [(part, k)] * bool(k)
        return parts
