"""RBD: robust background detection on a graph of superpixels."""

from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.core.images.slic import SLICSettings, slic
from stages.saliency.maps import Image, Map, PhotoSaliency, stretch
from stages.saliency.superpixel_graph import SuperpixelGraph, build_graph, find_geodesics

_SIGMA_COLOUR = 10.0
_SIGMA_BOUNDARY = 1.0
_SIGMA_SPACE = 0.25
_SMALLEST_LINK = 0.1
_MOST_SUPERPIXELS = 300


class RobustBackground(PhotoSaliency):
    """A region is background if it touches the image border much for its size; saliency is smooth over the rest.

    Source: Zhu et al., "Saliency Optimization from Robust Background Detection", CVPR 2014.
    """

    method: Literal["rbd"] = "rbd"

    area: int = Field(600, ge=100)
    """Of a superpixel. Unit: pixels at working size. Source: section 3.2, 200 of them in 400x300."""

    background_weight: float = Field(5.0, gt=0)
    """Of the background term against the foreground term. Source: the authors' code; 1 in equation 9."""

    otsu: bool = False
    """Whether contrast under Otsu's threshold counts as none. Source: the authors' code; not in the paper."""

    def score(self, image: Image) -> Map:
        """See `PhotoSaliency.score`."""
        lab = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), np.uint8)
        # RBD is cubic in the number of superpixels: their size grows with images larger than 300 of them.
        area = max(self.area, image.shape[0] * image.shape[1] / _MOST_SUPERPIXELS)
        labels = slic(lab, SLICSettings(region_size=max(4, round(area**0.5)), compactness=20.0))
        graph = build_graph(labels, lab)
        background = _find_background(graph)
        foreground = self._cut_off(_contrast(graph, background))
        saliency = _optimise(graph, background * np.float32(self.background_weight), foreground)
        return np.asarray(stretch(saliency)[labels - 1])

    def _cut_off(self, contrast: Map) -> Map:
        if not self.otsu:
            return contrast
        threshold, _ = cv2.threshold(np.rint(contrast * 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
        return np.where(contrast * 255 > threshold, contrast, 0).astype(np.float32)


def _find_background(graph: SuperpixelGraph) -> NDArray[np.float32]:
    """Probability (S,) of being background, from boundary connectivity. Source: equations 2 to 6."""
    near = np.exp(-np.square(find_geodesics(graph)) / (2 * _SIGMA_COLOUR**2))
    length, area = near @ graph.at_border.astype(np.float32), near.sum(axis=1)
    connectivity = length / np.sqrt(area)
    return np.asarray(1 - np.exp(-np.square(connectivity) / (2 * _SIGMA_BOUNDARY**2)), np.float32)


def _contrast(graph: SuperpixelGraph, background: NDArray[np.float32]) -> Map:
    """Contrast (S,) to the background, stretched to 0..1: Lab sums in the hundreds would drown the other term.

    Source: equation 7.
    """
    offsets = np.square(graph.positions[:, None] - graph.positions[None]).sum(axis=2)
    near = np.exp(-offsets / (2 * _SIGMA_SPACE**2))
    return stretch((graph.colour_distances * near) @ background)


def _optimise(graph: SuperpixelGraph, background: Map, foreground: Map) -> Map:
    """Saliency (S,): 0 where background, 1 where foreground, even between similar neighbours. Source: equation 9."""
    affinity = np.exp(-np.square(graph.colour_distances) / (2 * _SIGMA_COLOUR**2)) + _SMALLEST_LINK
    links = np.where(graph.linked, affinity, 0)
    diagonal = background + foreground + links.sum(axis=1)
    if not foreground.any():
        return np.zeros_like(foreground)
    return np.linalg.solve(np.diag(diagonal) - links, foreground).astype(np.float32)
