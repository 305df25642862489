"""Brings photographs and label maps to the size at which they are computed, stored or scored."""

from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

DType = TypeVar("DType", bound=np.generic)


def shrink(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Scale an image (H, W, 3) down by area averaging to a longer side of at most `max_side`; small ones stay."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def resize_labels(labels: NDArray[DType], size: tuple[int, int]) -> NDArray[DType]:
    """Resize a map of labels (H, W) to a height and width: each pixel takes the label under its center."""
    rows, columns = (
        np.minimum(((np.arange(wanted) + 0.5) * (given / wanted)).astype(np.int64), given - 1)
        for wanted, given in zip(size, labels.shape, strict=True)
    )
    resized: NDArray[DType] = labels[rows[:, None], columns]
    return resized
