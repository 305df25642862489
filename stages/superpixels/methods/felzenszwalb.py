"""Graph-based regions of free size and shape."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from stages.superpixels.regions import RegionMethod


class FelzenszwalbConfig(RegionMethod):
    """Pixels merge while the edge between two regions is no stronger than the variation inside of them.

    Source: Felzenszwalb and Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 2004, algorithm 1.
    """

    method: Literal["felzenszwalb"] = "felzenszwalb"

    k: float = Field(50.0, gt=0)
    """Scale of observation: larger values give larger regions. Unit: Lab distance (L 0..100) times pixels."""

    sigma: float = Field(0.8, gt=0)
    """Gaussian before. Unit: pixels at working size. Source: section 4."""

    min_size: int = Field(100, ge=1)
    """Smaller regions join a neighbor. Unit: pixels at working size. Source: ours, a quarter of SLIC's region."""

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.int32]:
        """See `RegionMethod.cut`."""
        from stages.core.images.connectivity import connect_regions
        from stages.core.images.segmentation import segment_photo

        regions = segment_photo(image, self.k, self.min_size, self.sigma)
        # Segments may hold together by a pixel's corner only.
        return connect_regions(regions, image, self.min_size)
