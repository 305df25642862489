"""HC: histogram-based contrast."""

from typing import Literal

import cv2
import numpy as np

from stages.saliency.maps import Image, Map, PhotoSaliency
from stages.saliency.palette import find_palette, smooth_colors

_SMOOTHING = 0.25


class HistogramContrast(PhotoSaliency):
    """A pixel stands out by how far its color lies from all colors of the image.

    Source: Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, section 3.
    """

    method: Literal["hc"] = "hc"

    def score(self, image: Image) -> Map:
        """See `PhotoSaliency.score`."""
        palette = find_palette(image)
        contrast = palette.distances @ palette.frequencies
        smooth = smooth_colors(contrast, palette, np.ones_like(contrast), _SMOOTHING)
        return np.asarray(cv2.GaussianBlur(smooth[palette.color_index], (3, 3), 0), np.float32)
