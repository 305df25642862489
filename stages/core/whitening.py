"""PCA whitening of vectors."""

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError

Float64 = npt.NDArray[np.float64]


def whiten(vectors: npt.NDArray[np.floating], components: int, field: str) -> Float64:
    """Project vectors on their first principal components and scale each to unit variance over all of them.

    Args:
        vectors: (N, D)
        components: M, at most D and N - 1.
        field: Of params.yaml, that asks for it.

    Returns:
        (N, M); the sign of a component is that of its largest entry.

    Raises:
        UserError: The vectors do not span so many components.
    """
    centered = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    if (most := min(len(centered) - 1, centered.shape[1])) < components:
        raise UserError(
            f"{field} = {components}: {len(centered)} vectors of {centered.shape[1]} channels do not span so many "
            f"components; set it to at most {max(most, 0)}, or add photographs"
        )
    _, spread, axes = np.linalg.svd(centered, full_matrices=False)
    axes *= np.where(axes[:, np.abs(axes).argmax(1)].diagonal() < 0, -1, 1)[:, None]  # the sign is free: fix it
    scale = np.sqrt(len(centered) - 1) / np.maximum(spread[:components], 1e-12)
    whitened: Float64 = centered @ axes[:components].T * scale
    return whitened
