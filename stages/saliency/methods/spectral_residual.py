"""Spectral residual: what deviates from the average spectrum of images."""

from typing import Literal

import numpy as np

from stages.saliency.gray_maps import Image, Map, stretch
from stages.saliency.maps import PhotoSaliency

_SIDE = 64


class SpectralResidualConfig(PhotoSaliency):
    """Fast and coarse: finds where the eye would go, not where the object ends.

    Source: Hou and Zhang, "Saliency Detection: A Spectral Residual Approach", CVPR 2007, section 2, at 64x64;
    the 3x3 smoothing is OpenCV's.
    """

    method: Literal["spectral_residual"] = "spectral_residual"

    def score(self, image: Image) -> Map:
        """See `PhotoSaliency.score`."""
        import cv2

        gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
        if gray.max() == gray.min():
            return np.zeros_like(gray)
        spectrum = np.fft.fft2(cv2.resize(gray, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))
        log_amplitude = np.log(np.abs(spectrum) + 1e-12)
        residual = log_amplitude - cv2.blur(log_amplitude, (3, 3), borderType=cv2.BORDER_REPLICATE)
        energy = np.square(np.abs(np.fft.ifft2(np.exp(residual + 1j * np.angle(spectrum)))))
        small = stretch(cv2.GaussianBlur(energy.astype(np.float32), (3, 3), 0))
        height, width = gray.shape
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 1), np.float32)
