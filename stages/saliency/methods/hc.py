"""HC: histogram-based contrast."""

from typing import Literal

import numpy as np

from stages.saliency.gray_maps import Image, Map
from stages.saliency.maps import PhotoSaliency

_SMOOTHING = 0.25


class HCConfig(PhotoSaliency):
    """A pixel stands out by how far its color lies from all colors of the image.

    Source: Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, section 3.
    """

    method: Literal["hc"] = "hc"

    def score(self, image: Image) -> Map:
        """See `PhotoSaliency.score`."""
        import cv2

        from stages.saliency.global_contrast.palette import find_palette, smooth_colors

        palette = find_palette(image)
        contrast = palette.distances @ palette.frequencies
        smooth = smooth_colors(contrast, palette, np.ones_like(contrast), _SMOOTHING)
        return np.asarray(cv2.GaussianBlur(smooth[palette.color_index], (3, 3), 0), np.float32)
