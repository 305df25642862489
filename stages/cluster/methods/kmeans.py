"""k-means with restarts.

Source: LUSS, section 3.1; restarts, iterations and normalization from PASS, step 2.2.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.cluster.config import ClusterConfig

if TYPE_CHECKING:
    from stages.core.faiss_ops import Clustering
    from stages.core.streamed_kmeans import VectorRows


class KMeansConfig(ClusterConfig):
    """Lloyd's k-means in Euclidean distance by faiss."""

    method: Literal["kmeans"] = "kmeans"
    restarts: int = Field(30, ge=1)
    """Random starts, of which the best is kept. PASS: 30."""
    iterations: int = Field(20, ge=1)
    """Lloyd iterations of each start. PASS: 20."""

    sample: int | None = Field(100_000, ge=1)
    """Vectors that the starts look at, or 64 for each cluster if that is more; the best start then goes on with all
    vectors. null: the starts look at all of them."""

    def group(self, vectors: "VectorRows", k: int, work: Path | None) -> "Clustering":
        """Lloyd's algorithm; see `ClusterConfig.group`."""
        from stages.cluster.search import Plan, search

        sample = len(vectors) if self.sample is None else max(self.sample, 64 * k)
        return search(vectors, Plan(k, self.restarts, self.iterations, self.seed, sample), work)
