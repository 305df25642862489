"""Cuts a view's part of class maps, averaged over the cells of a smaller grid (RoIAlign).

Source: He et al., Mask R-CNN, ICCV 2017, section 3; the samples per cell as torchvision chooses them.
"""

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.class_maps import ClassMaps, StoredClassMaps
from stages.core.images.crops import Window

_ROUNDING = 1e-6
"""What the size of a cell may exceed a whole number of places by before it gets one more sample."""

Float32 = npt.NDArray[np.float32]


class ClassMapCrops(NamedTuple):
    """Class maps that travel with the views."""

    maps: StoredClassMaps
    side: int
    """Cells along each side of what is cut."""

    def cut(self, image_id: str, window: Window) -> Float32:
        """A photograph's maps (K, side, side) under a window in its pixels, in 0..1; not yet mirrored."""
        found = self.maps[image_id]
        return crop_class_maps(scale_to_unit(found, self.maps.classes), (found.height, found.width), window, self.side)


def scale_to_unit(maps: ClassMaps, classes: int) -> Float32:
    """The maps (classes, h, w) scaled to 0..1 over all classes and places of the photograph; all 0 where they are flat.

    Source: TransFGU's code; whether over the photograph or the view its paper does not say.
    """
    values = maps.spread(classes)
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


def crop_class_maps(maps: Float32, photo: tuple[int, int], window: Window, side: int) -> Float32:
    """Average maps (K, h, w) over the cells of a grid on a window.

    Args:
        maps: They lie on all of the photograph, whatever its aspect.
        photo: Height and width of the photograph that the window refers to.
        window: In the photograph's pixels.
        side: Cells along each side.

    Returns:
        (K, side, side): the mean of bilinear samples of each cell, as torchvision's RoIAlign (aligned).
    """
    rows = _weights(window.y, window.height, maps.shape[1] / photo[0], maps.shape[1], side)
    columns = _weights(window.x, window.width, maps.shape[2] / photo[1], maps.shape[2], side)
    cut: Float32 = (rows @ maps.astype(np.float64) @ columns.T).astype(np.float32)
    return cut


def _weights(start: float, length: float, scale: float, places: int, side: int) -> npt.NDArray[np.float64]:
    """(side, places) share of each place of a map in each cell, along one side: the samples of a grid are separable."""
    samples = max(math.ceil(length * scale / side - _ROUNDING), 1)
    cells = (np.arange(side * samples) + 0.5) / samples  # in cells, from the window's edge
    # Places are centers of map cells, so half a cell is subtracted (`aligned`).
    at = np.clip(start * scale - 0.5 + cells * (length * scale / side), 0, places - 1)
    low = np.minimum(at.astype(np.int64), places - 1)
    high = np.minimum(low + 1, places - 1)
    weights = np.zeros((side * samples, places))
    every = np.arange(side * samples)
    np.add.at(weights, (every, low), 1 - (at - low))
    np.add.at(weights, (every, high), at - low)
    shares: npt.NDArray[np.float64] = weights.reshape(side, samples, places).mean(1)
    return shares
