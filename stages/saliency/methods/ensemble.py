"""The mean of two classical maps, made to follow the photograph's edges."""

from typing import Literal

from pydantic import Field

from stages.saliency.gray_maps import Image, Map
from stages.saliency.maps import PhotoSaliency


class EnsembleConfig(PhotoSaliency):
    """Region contrast and robust background detection err differently: their mean is better than either.

    Max F on ECSSD: 0.762; region contrast, the better of the two, has 0.738, their mean as it is 0.759. A network that
    learnt from these maps added nothing to their mean.

    Source: ours; the edges by He et al., "Guided Image Filtering", TPAMI 2013.
    """

    method: Literal["ensemble"] = "ensemble"

    radius: int = Field(8, ge=1)
    """Of the guided filter. Unit: pixels where the longer side has 128."""

    smoothness: float = Field(60.0, gt=0)
    """Of the guided filter: differences of color much below its root are no edge. Unit: squared 8-bit values."""

    def score(self, image: Image) -> Map:
        """See `PhotoSaliency.score`."""
        import cv2
        import numpy as np

        from stages.saliency.global_contrast.region_contrast import RegionContrastSettings, score_region_contrast
        from stages.saliency.gray_maps import stretch
        from stages.saliency.robust_background.scoring import RobustBackgroundSettings, score_robust_background

        contrast = score_region_contrast(image, RegionContrastSettings())
        background = score_robust_background(image, RobustBackgroundSettings())
        mean = np.asarray((stretch(contrast) + stretch(background)) / 2, np.float32)
        radius = max(1, round(self.radius * max(image.shape[:2]) / 128))
        filtered = cv2.ximgproc.guidedFilter(image, mean, radius, self.smoothness)
        return np.asarray(filtered.clip(0, 1), np.float32)
