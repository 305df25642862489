"""RC: region-based contrast."""

from typing import Literal

from pydantic import Field

from stages.saliency.gray_maps import Image, Map
from stages.saliency.maps import PhotoSaliency


class RCConfig(PhotoSaliency):
    """A region stands out if its colors differ from those of large, near regions; border regions are background.

    Source: Cheng et al., "Global Contrast Based Salient Region Detection", TPAMI 2015, section 4, with the border prior
    and color smoothing of its authors' code.
    """

    method: Literal["rc"] = "rc"

    k: float = Field(50.0, gt=0)
    """Scale of the graph-based segmentation, in Lab units (L 0..100). Source: the authors' code."""

    min_size: int = Field(200, ge=1)
    """Smallest region. Unit: pixels at working size. Source: the authors' code."""

    sigma: float = Field(0.5, gt=0)
    """Gaussian before the segmentation. Unit: pixels. Source: the authors' code."""

    sigma_space: float = Field(0.4, gt=0)
    """Squared width of the influence of other regions, image sides = 1. Source: section 4.2, sigma_s^2."""

    def score(self, image: Image) -> Map:
        """See `PhotoSaliency.score`."""
        from stages.saliency.global_contrast.region_contrast import RegionContrastSettings, score_region_contrast

        settings = RegionContrastSettings(self.k, self.min_size, self.sigma, self.sigma_space)
        return score_region_contrast(image, settings)
