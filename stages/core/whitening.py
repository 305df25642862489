"""Principal components scaled to unit variance, so that every direction of embeddings counts in a distance."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError

Float32 = npt.NDArray[np.float32]


class Whitening(NamedTuple):
    """An affine map from D to N dimensions."""

    axes: Float32
    """(N, D)"""
    offsets: Float32
    """(N,)"""

    def apply(self, vectors: npt.NDArray[np.floating]) -> Float32:
        """(M, D) to (M, N)."""
        return np.asarray(vectors @ self.axes.T + self.offsets, np.float32)


def fit_whitening(vectors: npt.NDArray[np.floating], components: int, field: str) -> Whitening:
    """The map that gives vectors the mean 0 and their first principal components the variance 1.

    Args:
        vectors: (M, D)
        components: N.
        field: The parameter that asks for N, for the error.

    Raises:
        UserError: The vectors span fewer components, or are not finite.
    """
    if not np.isfinite(vectors).all():
        raise UserError(f"{field}: an embedding is not finite; the representation has diverged, train it again")
    if min(len(vectors) - 1, vectors.shape[1]) < components:
        raise UserError(f"{field}: vectors of shape {vectors.shape} do not span {components} components")
    mean = vectors.mean(0, dtype=np.float64)
    variances, directions = np.linalg.eigh(np.cov(vectors.T.astype(np.float64)).reshape(2 * [vectors.shape[1]]))
    variances, axes = variances[::-1][:components], directions.T[::-1][:components]
    axes = axes * np.where(axes[range(components), np.abs(axes).argmax(1)] < 0, -1, 1)[:, None]  # its sign is free
    axes /= np.sqrt(np.maximum(variances, 1e-24))[:, None]
    return Whitening(axes.astype(np.float32), (-axes @ mean).astype(np.float32))
