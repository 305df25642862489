"""Types of images and gray maps, and min-max stretching."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3) RGB."""
Map = NDArray[np.float32]
"""(H, W)"""


def stretch(values: Map) -> Map:
    """Min-max to 0..1; all zero if the values do not differ."""
    low, high = values.min(), values.max()
    if not high > low:
        return np.zeros_like(values)
    return np.asarray((values - low) / (high - low), np.float32)
