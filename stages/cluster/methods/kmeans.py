"""k-means with restarts.

Source: LUSS, section 3.1; restarts, iterations and normalisation from PASS, step 2.2.
"""

from typing import Literal

import numpy as np
from pydantic import Field

from stages.core.artifacts.clusters import Assignments, Centroids
from stages.core.artifacts.features import Features
from stages.core.neighbours import kmeans, normalise_rows
from stages.core.params import Params


class KMeans(Params):
    """Lloyd's k-means in Euclidean distance by faiss."""

    method: Literal["kmeans"] = "kmeans"
    k: int = Field(ge=2, default=50)
    """Clusters; the benchmark uses as many as the data set has categories."""
    normalise: bool = True
    """L2-normalise the embeddings first, so that distance means angle. PASS: yes."""
    restarts: int = Field(30, ge=1)
    """Random starts, of which the best is kept. PASS: 30."""
    iterations: int = Field(20, ge=1)
    """Lloyd iterations of each start. PASS: 20."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the starts."""

    def cluster(self, features: Features) -> tuple[Centroids, Assignments]:
        """Group all embeddings; centroids are stored as the means that they are, not normalised."""
        vectors = normalise_rows(features.embeddings) if self.normalise else features.embeddings
        found = kmeans(vectors, self.k, self.restarts, self.iterations, self.seed)
        sizes = np.bincount(found.cluster_ids, minlength=self.k)
        assignments = Assignments(
            features.image_ids, features.region_ids, found.cluster_ids.astype(np.int32), found.distances
        )
        return Centroids(found.centroids, sizes, self.normalise), assignments
