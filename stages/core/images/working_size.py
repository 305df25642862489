"""Shrinks photographs to the size at which label maps are computed and stored."""

import cv2
import numpy as np
from numpy.typing import NDArray


def shrink(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Scale an image (H, W, 3) down by area averaging to a longer side of at most `max_side`; small ones stay."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
