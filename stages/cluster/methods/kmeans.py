"""k-means with restarts.

Source: LUSS, section 3.1; restarts, iterations and normalization from PASS, step 2.2.
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.cluster.config import ClusterConfig

if TYPE_CHECKING:
    from stages.core.faiss_ops import Clustering


class KMeansConfig(ClusterConfig):
    """Lloyd's k-means in Euclidean distance by faiss."""

    method: Literal["kmeans"] = "kmeans"
    restarts: int = Field(30, ge=1)
    """Random starts, of which the best is kept. PASS: 30."""
    iterations: int = Field(20, ge=1)
    """Lloyd iterations of each start. PASS: 20."""
    seed: int = Field(0, ge=0, lt=2**31)
    """Of the starts."""

    def group(self, vectors: npt.NDArray[Any], k: int) -> "Clustering":
        """Lloyd's algorithm; see `ClusterConfig.group`."""
        from stages.core.faiss_ops import kmeans
        from stages.core.streamed_kmeans import streamed_kmeans

        if vectors.dtype == np.float16:
            return streamed_kmeans(vectors, k, self.restarts, self.iterations, self.seed)
        return kmeans(vectors, k, self.restarts, self.iterations, self.seed)
