"""SLICO: SLIC whose compactness adapts to each region, by OpenCV."""

from typing import Literal

from stages.superpixels.regions import OpenCVMethod


class SLICOConfig(OpenCVMethod):
    """Regions of similar Lab color; textured ones become as compact as smooth ones.

    Source: Achanta et al., "SLIC Superpixels Compared to State-of-the-Art Superpixel Methods", TPAMI 2012, section 4.4.
    """

    method: Literal["slico"] = "slico"

    def algorithm(self) -> tuple[int, float]:
        """See `OpenCVMethod.algorithm`; the ruler is only where the compactness starts."""
        import cv2

        return cv2.ximgproc.SLICO, 10.0
