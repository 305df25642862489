"""What all superpixel methods share: the working size and the ids that are stored."""

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.core.artifacts.image_index import ImageIndex
from stages.core.errors import UserError
from stages.core.mapping import map_photos
from stages.core.params import Params

MAX_ID = np.iinfo(np.uint16).max - 1  # 65535 means "ignore" in 16-bit maps


class SuperpixelMethod(Params):
    """A way to cut photographs into regions; its fields are the stage's section of params.yaml."""

    def write_maps(self, index: ImageIndex) -> None:
        """Write the stage's artifact for every photograph of the index."""
        raise TypeError(f"{type(self).__name__} does not say what it writes")


class RegionMethod(SuperpixelMethod):
    """A method that cuts one photograph at a time."""

    max_side: int = Field(512, ge=16, le=4096)
    """Longer photographs are shrunk to this longer side before they are cut. Unit: pixels."""

    def write_maps(self, index: ImageIndex) -> None:
        """Cut all photographs in parallel."""
        map_photos("superpixels", self, index, self.compute)

    def compute(self, image: NDArray[np.uint8]) -> NDArray[np.uint16]:
        """Cut one photograph.

        Args:
            image: (H, W, 3) RGB.

        Returns:
            (h, w) ids from 1 without gaps, each one 4-connected component; longer side at most `max_side`.

        Raises:
            UserError: More regions than a 16-bit map can hold.
        """
        regions = self.cut(shrink(image, self.max_side))
        if regions.max() > MAX_ID:
            raise UserError(f"{regions.max()} superpixels in one photograph, at most {MAX_ID} fit: cut larger ones")
        return regions.astype(np.uint16)

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Regions (H, W), ids from 1 without gaps, of an RGB image (H, W, 3) of working size."""
        raise TypeError(f"{type(self).__name__} does not say how it cuts")


def shrink(image: NDArray[np.uint8], max_side: int) -> NDArray[np.uint8]:
    """Scale an image down by area averaging so that its longer side is at most `max_side`; smaller ones stay."""
    height, width = image.shape[:2]
    scale = max_side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
