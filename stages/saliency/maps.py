"""Base classes of saliency methods: working size, stored maps, optional binary masks."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.core.config.params import Params
from stages.saliency.gray_maps import Image, Map

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class SaliencyMethod(Params, ABC):
    """A saliency method; its fields are the stage's section of params.yaml."""

    supervision: Literal["images"] = "images"
    """What the maps were made from; this method sees photographs only."""

    @abstractmethod
    def write_maps(self, index: "ImageIndex") -> None:
        """Write the stage's artifact for every photograph of the index."""


class StoredMapConfig(Params):
    """How saliency maps are stored: their size, and gray or cut to binary masks."""

    max_side: int = Field(400, ge=16, le=4096)
    """Longer photographs are shrunk to this longer side first; maps are stored at this size. Unit: pixels."""

    threshold: float | None = Field(None, ge=0, le=1)
    """Above it a pixel is salient and binary masks (0, 255) are stored; null stores gray maps. MaskContrast: 0.5."""

    min_area: float = Field(0.01, ge=0, le=1)
    """Salient spots of a binary mask below this are removed. Unit: share of the image. Source: MaskContrast's code."""

    grabcut: bool = False
    """Refine binary masks by GrabCut at half of the working size: sharper edges for about 100 ms an image."""

    def to_stored_map(self, image: Image, saliency: Map) -> NDArray[np.uint8]:
        """The stored map (h, w) of an image (h, w, 3) and its saliency (h, w) in 0..1."""
        from stages.saliency.binary import cut_mask, refine_mask

        if self.threshold is None:
            return np.rint(saliency * 255).astype(np.uint8)
        mask = cut_mask(saliency > self.threshold, self.min_area)
        if self.grabcut:
            mask = cut_mask(refine_mask(image, mask), self.min_area)
        return mask.astype(np.uint8) * np.uint8(255)


class PhotoSaliency(SaliencyMethod, StoredMapConfig):
    """A method that maps one photograph at a time."""

    def write_maps(self, index: "ImageIndex") -> None:
        """Map all photographs in parallel."""
        from stages.core.mapping import map_photos

        map_photos("saliency", self, index, self.compute)

    def compute(self, image: Image) -> NDArray[np.uint8]:
        """Map one photograph.

        Args:
            image: (H, W, 3) RGB.

        Returns:
            (h, w) 0 (background) to 255 (salient); longer side at most `max_side`.
        """
        from stages.core.images.working_size import shrink

        small = shrink(image, self.max_side)
        return self.to_stored_map(small, self.score(small))

    @abstractmethod
    def score(self, image: Image) -> Map:
        """Saliency (H, W) in 0..1 of an RGB image (H, W, 3) of working size; all zero where nothing stands out."""
