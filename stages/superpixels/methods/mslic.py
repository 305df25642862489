"""MSLIC: content-sensitive superpixels, small where an image is rich, by OpenCV."""

from typing import Literal

from pydantic import Field

from stages.superpixels.regions import OpenCVMethod


class MSLICConfig(OpenCVMethod):
    """Regions of equal area on the image's surface in color and position.

    Source: Liu et al., "Manifold SLIC: A Fast Method to Compute Content-Sensitive Superpixels", CVPR 2016.
    """

    method: Literal["mslic"] = "mslic"

    compactness: float = Field(10.0, gt=0)
    """Weight of position against color (8-bit Lab). Source: OpenCV's default ruler."""

    def algorithm(self) -> tuple[int, float]:
        """See `OpenCVMethod.algorithm`."""
        import cv2

        return cv2.ximgproc.MSLIC, self.compactness
