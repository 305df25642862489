"""A regular grid: what superpixels are compared with."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.superpixels.regions import RegionMethod


class GridConfig(RegionMethod):
    """Cells of equal size that do not look at the image.

    Source: Karlsson et al., "ViCE: Self-Supervised Visual Concept Embeddings", 2021, ablation of superpixels.
    """

    method: Literal["grid"] = "grid"

    region_size: int = Field(20, ge=2, le=1024)
    """Side of a cell, changed a little so that cells fill the image. Unit: pixels at working size."""

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """See `RegionMethod.cut`."""
        height, width = image.shape[:2]
        rows, columns = max(1, round(height / self.region_size)), max(1, round(width / self.region_size))
        y, x = np.arange(height) * rows // height, np.arange(width) * columns // width
        return np.asarray(y[:, None] * columns + x + 1, np.int32)
