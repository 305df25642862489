"""Base classes of superpixel methods: working size, connected regions, stored ids."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.core.config.params import Params
from stages.core.errors import UserError

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex

MAX_ID = np.iinfo(np.uint16).max - 1  # 65535 means "ignore" in 16-bit maps


class SuperpixelMethod(Params, ABC):
    """A superpixel method; its fields are the stage's section of params.yaml."""

    @abstractmethod
    def write_maps(self, index: "ImageIndex") -> None:
        """Write the stage's artifact for every photograph of the index."""


class RegionMethod(SuperpixelMethod):
    """A method that cuts one photograph at a time."""

    max_side: int = Field(512, ge=16, le=4096)
    """Longer photographs are shrunk to this longer side before they are cut. Unit: pixels."""
    short_side: int | None = Field(None, ge=16, le=4096)
    """They are shrunk to this shorter side too; null: not. Where views are cut from the central square at 320 pixels
    (ViCE at low resolution): 320, and `region_size` counts pixels of the views' own frame. Unit: pixels."""

    def write_maps(self, index: "ImageIndex") -> None:
        """Cut all photographs in parallel."""
        from stages.core.mapping import map_photos

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
        from stages.core.images.working_size import shrink

        regions = self.cut(shrink(image, self._longer_side(image)))
        if regions.max() > MAX_ID:
            raise UserError(f"{regions.max()} superpixels in one photograph, at most {MAX_ID} fit: cut larger ones")
        return regions.astype(np.uint16)

    def _longer_side(self, image: NDArray[np.uint8]) -> int:
        """At most so long is the working size's longer side."""
        if self.short_side is None:
            return self.max_side
        height, width = image.shape[:2]
        side: int = round(self.short_side * max(height, width) / min(height, width))
        return min(self.max_side, side)

    @abstractmethod
    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """Regions (H, W), ids from 1 without gaps, of an RGB image (H, W, 3) of working size."""


class OpenCVMethod(RegionMethod):
    """A member of OpenCV's SLIC family, on Lab after a 3x3 blur as its documentation advises."""

    region_size: int = Field(20, ge=4, le=1024)
    """Distance of the initial centers. Unit: pixels at working size. Source: that of our SLIC."""

    iterations: int = Field(10, ge=1)
    """Assignments of pixels to centers. Source: OpenCV's default."""

    min_size: float = Field(0.25, ge=0, le=1)
    """Smaller components join a neighbor. Unit: share of region_size squared. Source: OpenCV's default of 25 %."""

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """See `RegionMethod.cut`."""
        import cv2

        from stages.core.images.connectivity import connect_regions

        # OpenCV fails on images that hold less than one region.
        if min(image.shape[:2]) < self.region_size:
            return np.ones(image.shape[:2], np.int32)
        lab = np.asarray(cv2.cvtColor(cv2.GaussianBlur(image, (3, 3), 0), cv2.COLOR_RGB2LAB), np.uint8)
        algorithm, ruler = self.algorithm()
        superpixels = cv2.ximgproc.createSuperpixelSLIC(lab, algorithm, self.region_size, ruler)
        superpixels.iterate(self.iterations)
        return connect_regions(superpixels.getLabels(), lab, int(self.min_size * self.region_size**2))

    @abstractmethod
    def algorithm(self) -> tuple[int, float]:
        """OpenCV's number of the algorithm, and its ruler."""
