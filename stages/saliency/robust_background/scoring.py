"""Robust background detection: what touches the image's border much for its size is background."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.core.images.slic import SLICSettings, slic
from stages.saliency.gray_maps import Image, Map, stretch
from stages.saliency.robust_background.superpixel_graph import SuperpixelGraph, build_graph, find_geodesics

_SIGMA_COLOR = 10.0
_SIGMA_BOUNDARY = 1.0
_SIGMA_SPACE = 0.25
_SMALLEST_LINK = 0.1
_MOST_SUPERPIXELS = 300
_COMPACTNESS = 20.0


class RobustBackgroundSettings(NamedTuple):
    """See `stages.saliency.methods.rbd.RBDConfig`."""

    area: int = 600
    background_weight: float = 5.0
    otsu: bool = False


def score_robust_background(image: Image, settings: RobustBackgroundSettings) -> Map:
    """Saliency (H, W) in 0..1 of an RGB image (H, W, 3).

    Source: Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014.
    """
    lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)
    # The cost is cubic in the number of superpixels: in large images they grow instead.
    area = max(settings.area, lab.shape[0] * lab.shape[1] / _MOST_SUPERPIXELS)
    labels = slic(lab, SLICSettings(region_size=max(4, round(area**0.5)), compactness=_COMPACTNESS))
    graph = build_graph(labels, lab)
    background = find_background(graph)
    foreground = _contrast(graph, background)
    if settings.otsu:
        foreground = _cut_off(foreground)
    saliency = optimize_saliency(graph, background * np.float32(settings.background_weight), foreground)
    return np.asarray(stretch(saliency)[labels - 1])


def find_background(graph: SuperpixelGraph) -> NDArray[np.float32]:
    """Probability (S,) of being background, from boundary connectivity. Source: equations 2 to 6."""
    near = np.exp(-np.square(find_geodesics(graph)) / (2 * _SIGMA_COLOR**2))
    length, area = near @ graph.at_border.astype(np.float32), near.sum(axis=1)
    connectivity = length / np.sqrt(area)
    return np.asarray(1 - np.exp(-np.square(connectivity) / (2 * _SIGMA_BOUNDARY**2)), np.float32)


def _contrast(graph: SuperpixelGraph, background: NDArray[np.float32]) -> Map:
    """Contrast (S,) to the background, stretched to 0..1: Lab sums in the hundreds would drown the other term.

    Source: equation 7.
    """
    offsets = np.square(graph.positions[:, None] - graph.positions[None]).sum(axis=2)
    near = np.exp(-offsets / (2 * _SIGMA_SPACE**2))
    return stretch((graph.color_distances * near) @ background)


def optimize_saliency(graph: SuperpixelGraph, background: Map, foreground: Map) -> Map:
    """Saliency (S,): 0 where background, 1 where foreground, even between similar neighbors. Source: equation 9."""
    affinity = np.exp(-np.square(graph.color_distances) / (2 * _SIGMA_COLOR**2)) + _SMALLEST_LINK
    links = np.where(graph.linked, affinity, 0)
    diagonal = background + foreground + links.sum(axis=1)
    if not foreground.any():
        return np.zeros_like(foreground)
    return np.linalg.solve(np.diag(diagonal) - links, foreground).astype(np.float32)


def _cut_off(contrast: Map) -> Map:
    """Contrast (S,) with values under Otsu's threshold set to zero."""
    threshold, _ = cv2.threshold(np.rint(contrast * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    return np.where(contrast * 255 > threshold, contrast, 0).astype(np.float32)
