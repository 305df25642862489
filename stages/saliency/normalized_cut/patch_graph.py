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


class GraphSettings(NamedTuple):
    """Edges of the graph."""

    similarity: float = 0.2
    """Cosine above which two patches are linked. TokenCut, section 4.1: tau = 0.2."""
    weak_edge: float = 1e-5
    """Weight of all other edges, which keeps the graph in one piece. TokenCut, equation 4: epsilon = 1e-5."""


def cut_out_object(vectors: npt.NDArray[np.float32], settings: GraphSettings) -> npt.NDArray[np.float32]:
    """How much each patch belongs to the object that the normalized cut of the patches' graph finds.

    Args:
        vectors: (h, w, D), one per patch, not 0.
        settings: Of the graph.

    Returns:
        (h, w) in 0..1: the eigenvector of the cut, scaled so that 0.5 lies at its mean: from there on a patch is the
        object's. Patches on the object's side of the cut that do not touch it lie just below. All zero where all
        patches are linked, or none: nothing stands out.
    """
    height, width = vectors.shape[:2]
    linked = link(vectors.reshape(height * width, -1), settings.similarity)
    if linked.all() or linked.sum() == len(linked):
        return np.zeros((height, width), np.float32)
    weights = np.where(linked, 1.0, settings.weak_edge)
    return scale_to_cut(orient(second_eigenvector(weights)).reshape(height, width))


def link(vectors: npt.NDArray[np.float32], similarity: float) -> Bool:
    """(N, N), which of N vectors (N, D) have a cosine above `similarity`. TokenCut, equation 4."""
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(unit @ unit.T > similarity)


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


def orient(eigenvector: Float64) -> Float64:
    """The eigenvector (N,), or its negative: its largest absolute value then lies above its mean, in the object.

    Source: TokenCut, section 3.3.
    """
    seed = int(np.abs(eigenvector).argmax())
    return eigenvector if eigenvector[seed] > eigenvector.mean() else -eigenvector


def scale_to_cut(eigenvector: Float64) -> npt.NDArray[np.float32]:
    """Scale an oriented eigenvector (h, w) to 0..1, its mean to 0.5, and keep one object; see `cut_out_object`."""
    offsets = eigenvector - eigenvector.mean()
    seed = np.unravel_index(int(np.abs(eigenvector).argmax()), eigenvector.shape)
    inside = offsets > 0
    _, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    scaled = _CUT + np.where(inside, offsets / offsets.max(), offsets / -offsets.min()) * _CUT
    scaled[inside & (parts != parts[seed])] = _BELOW_CUT
    return np.asarray(scaled, np.float32)
