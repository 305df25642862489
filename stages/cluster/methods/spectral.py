"""Spectral clustering of the graph of nearest neighbors.

Source: Ng, Jordan and Weiss, On Spectral Clustering: Analysis and an Algorithm, NIPS 2001, steps 2 to 6; the graph as
in von Luxburg, A Tutorial on Spectral Clustering, 2007, section 2.2.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.cluster.config import ClusterConfig
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.core.faiss_ops import Clustering, Float32
    from stages.core.streamed_kmeans import VectorRows

_TOLERANCE = 1e-6
"""Relative, of eigenvalues."""


class SpectralConfig(ClusterConfig):
    """Groups that hang together in the graph of nearest neighbors, of whatever shape."""

    method: Literal["spectral"] = "spectral"
    neighbors: int = Field(30, ge=1)
    """Nearest vectors that each is joined with; twice as many, and again, while the graph falls into more parts than
    there are clusters."""
    restarts: int = Field(30, ge=1)
    """Random starts of k-means of the eigenvectors' rows, of which the best is kept."""
    iterations: int = Field(20, ge=1)
    """Lloyd iterations of each start."""

    def group(self, vectors: "VectorRows", k: int, work: Path | None) -> "Clustering":
        """k-means of the rows of the leading eigenvectors; see `ClusterConfig.group`.

        A centroid is the mean of its cluster's vectors, so that pixels and other splits compare with it. The vectors of
        the graph keep their clusters, also where the centroid of another is nearer.
        """
        from scipy.sparse import csr_array

        from stages.core.faiss_ops import Clustering, kmeans, normalize_rows

        vectors.check(k)
        points = vectors.take(slice(None))
        graph, parts = self._join_neighbors(points, k)
        rows = normalize_rows(leading_eigenvectors(graph, parts, k, self.seed).astype(np.float32))
        cluster_ids = kmeans(rows, k, self.restarts, self.iterations, self.seed).cluster_ids
        members = csr_array((np.ones(len(rows), np.float32), (cluster_ids, np.arange(len(rows)))), (k, len(rows)))
        sizes = members.sum(1)
        if not sizes.all():
            raise UserError(f"cluster: the vectors form {np.count_nonzero(sizes)} groups and no more; lower cluster.k")
        centroids = (members @ points / sizes[:, None]).astype(np.float32)
        distances = np.square(points - centroids[cluster_ids]).sum(1)
        return Clustering(centroids, cluster_ids, distances, float(distances.sum(dtype=np.float64)))

    def _join_neighbors(self, vectors: "Float32", k: int) -> tuple[Any, npt.NDArray[np.int32]]:
        """The graph, and the connected part (N,) of every vector; no more parts than clusters."""
        from scipy.sparse.csgraph import connected_components

        neighbors, parts = self.neighbors, k + 1
        while parts > k:
            if neighbors >= len(vectors):
                raise UserError(
                    f"cluster.neighbors: {len(vectors)} vectors are too few for {neighbors} neighbors each; lower it, "
                    "or take method: kmeans"
                )
            graph = neighbor_graph(vectors, neighbors)
            parts, part_of = connected_components(graph, directed=False)
            neighbors *= 2
        return graph, part_of


def neighbor_graph(vectors: "Float32", neighbors: int) -> Any:
    """Weights (N, N), sparse: 1 where two vectors are among each other's neighbors, half where one is the other's."""
    from scipy.sparse import csr_array

    from stages.core.faiss_ops import nearest

    count = len(vectors)
    found = nearest(vectors, vectors, neighbors + 1)[1]  # Each is its own neighbor too, unless it has many twins.
    own = np.repeat(np.arange(count), neighbors + 1)
    others = found.ravel()
    kept = own != others
    directed = csr_array((np.ones(kept.sum()), (own[kept], others[kept])), (count, count))
    return ((directed + directed.T) / 2).tocsr()


def leading_eigenvectors(graph: Any, part_of: npt.NDArray[np.int32], count: int, seed: int) -> npt.NDArray[np.float64]:
    """Eigenvectors (N, count) of the largest eigenvalues of D^-1/2 W D^-1/2, D the degrees.

    A connected part has the eigenvalue 1 once, with the roots of its degrees as the vector. These are set down, since
    Lanczos's iteration may miss some of several equal ones; the rest is looked for among what is orthogonal to them.

    Args:
        graph: W (N, N), sparse and symmetric.
        part_of: Connected part (N,) of every row, from 0; no more than `count`.
        count: Vectors.
        seed: Of the vector that the iteration starts from.

    Raises:
        UserError: The iteration does not converge.
    """
    from scipy.sparse import csr_array, diags_array
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    size, parts = len(part_of), int(part_of.max()) + 1
    roots = np.sqrt(graph.sum(1))
    scaled = diags_array(1 / roots) @ graph @ diags_array(1 / roots)
    lengths = np.sqrt(np.bincount(part_of, roots**2))
    known = csr_array((roots / lengths[part_of], (np.arange(size), part_of)), (size, parts))
    if parts == count:
        return np.asarray(known.toarray())
    # Known vectors get the eigenvalue -1, the least that there is.
    rest = LinearOperator(
        (size, size), dtype=np.float64, matvec=lambda vector: scaled @ vector - 2 * (known @ (known.T @ vector))
    )
    start = np.random.default_rng(seed).standard_normal(size)
    try:
        _, found = eigsh(rest, count - parts, which="LA", v0=start, tol=_TOLERANCE)
    except ArpackError as error:
        raise UserError(f"cluster: no eigenvectors were found ({error}); raise cluster.neighbors") from None
    return np.hstack([known.toarray(), found[:, ::-1]])
