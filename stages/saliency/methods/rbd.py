"""RBD: robust background detection on a graph of superpixels."""

from typing import Literal

from pydantic import Field

from stages.saliency.gray_maps import Image, Map
from stages.saliency.maps import PhotoSaliency


class RBDConfig(PhotoSaliency):
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
        from stages.saliency.robust_background.scoring import RobustBackgroundSettings, score_robust_background

        return score_robust_background(image, RobustBackgroundSettings(self.area, self.background_weight, self.otsu))
