"""The normalized cut of a graph of patches, and the map of what it cuts out.

Source: Wang et al., "Self-Supervised Transformers for Unsupervised Object Discovery Using Normalized Cut", CVPR 2022
(TokenCut), sections 3.2 and 3.3; Shi and Malik, "Normalized Cuts and Image Segmentation", TPAMI 2000.
"""

from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

_CUT = 0.5
"""Where the map of a photograph divides object and background: half, as `SALIENT` does of stored maps."""
_BELOW_CUT = 0.49
_ROUNDING = 1e-5
"""Of a vector's length."""


class CutSettings(NamedTuple):
    """Edges of the graph, and which side of its cut is the object."""

    is_centered: bool = True
    """Whether the mean of all vectors is taken off each first."""
    similarity: float = 0.2
    """Cosine above which two patches are linked. TokenCut, section 4.1: tau = 0.2."""
    weak_edge: float = 1e-5
    """Weight of all other edges, which keeps the graph in one piece. TokenCut, equation 4: epsilon = 1e-5."""
    corners: int = 2
    """Corners of the photograph that the object may cover."""


def cut_out_object(vectors: npt.NDArray[np.float32], settings: CutSettings) -> npt.NDArray[np.float32]:
    """How much each patch belongs to the object that the normalized cut of the patches' graph finds.

    Args:
        vectors: (h, w, D), one per patch.
        settings: Of the cut.

    Returns:
        (h, w) in 0..1: the eigenvector of the cut, scaled so that 0.5 lies at its mean: from there on a patch is the
        object's. Patches on the object's side of the cut that do not touch it lie just below. All zero where all
        patches are linked, or none: nothing stands out.
    """
    height, width = vectors.shape[:2]
    flat = vectors.reshape(height * width, -1)
    linked = link(_center(flat) if settings.is_centered else flat, settings.similarity)
    if linked.all() or linked.sum() == len(linked):  # each patch is linked with itself
        return np.zeros((height, width), np.float32)
    eigenvector = second_eigenvector(np.where(linked, 1.0, settings.weak_edge)).reshape(height, width)
    return scale_to_cut(orient(eigenvector, settings.corners))


def link(vectors: npt.NDArray[np.float32], similarity: float) -> Bool:
    """(N, N), which of N vectors (N, D) have a cosine above `similarity`; each has one with itself.

    Source: TokenCut, equation 4.
    """
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = vectors / np.maximum(lengths, np.finfo(np.float32).tiny)
    return np.asarray(unit @ unit.T > similarity) | np.eye(len(unit), dtype=bool)


def _center(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Take the mean off; what is left of vectors that are alike but for rounding is 0."""
    centered = vectors - vectors.mean(0)
    longest = np.linalg.norm(vectors, axis=1).max()
    return np.where(np.linalg.norm(centered, axis=1, keepdims=True) > _ROUNDING * longest, centered, 0)


def second_eigenvector(weights: Float64) -> Float64:
    """The solution y (N,) of (D - W) y = lambda D y for the second smallest lambda; D holds the sums of W's rows.

    Args:
        weights: (N, N) W, symmetric, positive.

    Source: TokenCut, equations 2 and 3: with z = D^1/2 y this is an ordinary symmetric problem, whose matrix
    D^-1/2 W D^-1/2 has the eigenvalues 1 - lambda.
    """
    scale = 1 / np.sqrt(weights.sum(1))
    matrix = weights * scale[:, None] * scale
    last = len(matrix) - 1
    _, found = eigh(matrix, subset_by_index=(last - 1, last - 1), overwrite_a=True, check_finite=False)
    return np.asarray(found[:, 0] * scale)


def orient(eigenvector: Float64, corners: int) -> Float64:
    """The eigenvector (h, w) or its negative, so that what lies above its mean is the object.

    That is the side of its largest absolute value (TokenCut, section 3.3), unless this covers more than so many of the
    four corners (MaskCut: Wang et al., "Cut and Learn for Unsupervised Object Detection", CVPR 2023, section 3.2).
    """
    seed = np.unravel_index(int(np.abs(eigenvector).argmax()), eigenvector.shape)
    oriented = eigenvector if eigenvector[seed] > eigenvector.mean() else -eigenvector
    covered = int((oriented[[0, 0, -1, -1], [0, -1, 0, -1]] > oriented.mean()).sum())
    return oriented if covered <= corners else -oriented


def scale_to_cut(oriented: Float64) -> npt.NDArray[np.float32]:
    """Scale an oriented eigenvector (h, w) to 0..1, its mean to 0.5, and keep one object; see `cut_out_object`."""
    offsets = oriented - oriented.mean()
    inside = offsets > 0
    _, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    seed = np.unravel_index(int(offsets.argmax()), offsets.shape)
    scaled = _CUT + np.where(inside, offsets / offsets.max(), offsets / -offsets.min()) * _CUT
    scaled[inside & (parts != parts[seed])] = _BELOW_CUT
    return np.asarray(scaled, np.float32)
