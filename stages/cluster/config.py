"""The abstract config of the stage `cluster`."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from stages.core.config.params import Params
from stages.core.config.splits import Split

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments, Centroids
    from stages.core.artifacts.features import Features
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.faiss_ops import Clustering, Float32


class ClusterConfig(Params, ABC):
    """A method that groups vectors; its fields are the section `cluster` of params.yaml."""

    method: str
    """Names the way."""
    k: int = Field(ge=2, default=50)
    """Clusters; the benchmark uses as many as the data set has categories."""
    splits: tuple[Split, ...] = Field(("train",), min_length=1)
    """Splits whose vectors form the clusters; vectors of others only receive the nearest one."""
    normalize: bool = True
    """L2-normalize the embeddings first, so that distance means angle. PASS: yes."""

    @abstractmethod
    def group(self, vectors: "Float32") -> "Clustering":
        """Group vectors (N, D) into `k` clusters.

        Raises:
            UserError: There are too few of them, or one is not finite.
        """

    def cluster(self, features: "Features", index: "ImageIndex") -> "tuple[Centroids, Assignments]":
        """Group the embeddings; centroids are stored as the means that they are, not normalized."""
        from stages.core.artifacts.clusters import Assignments, Centroids
        from stages.core.faiss_ops import nearest, normalize_rows

        vectors = normalize_rows(features.embeddings) if self.normalize else features.embeddings
        grouped = set(index.in_splits(*self.splits).image_ids)
        forms = np.array([image_id in grouped for image_id in features.image_ids], bool)
        found = self.group(vectors if forms.all() else vectors[forms])
        distances, cluster_ids = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.int32)
        distances[forms], cluster_ids[forms] = found.distances, found.cluster_ids
        if not forms.all():
            far, nearby = nearest(vectors[~forms], found.centroids, 1)
            distances[~forms], cluster_ids[~forms] = far[:, 0], nearby[:, 0]
        sizes = np.bincount(found.cluster_ids, minlength=self.k)
        assignments = Assignments(features.image_ids, features.region_ids, cluster_ids, distances)
        return Centroids(found.centroids, sizes, self.normalize, features.space), assignments
