"""Pseudolabel: turn clusters into labels of photographs or pixels that a segmenter can be trained on.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency`, the model `artifacts/attend` and
`artifacts/cluster`. Writes the label maps `artifacts/pseudolabel`, ids from 1, 0 background.
"""

from typing import Annotated

from pydantic import Field

from stages.pseudolabel.methods.image import ImageLabels
from stages.pseudolabel.methods.masks import TrueMasks
from stages.pseudolabel.methods.nearest_centroid import NearestCentroid
from stages.pseudolabel.methods.region import RegionLabels

Config = Annotated[
    ImageLabels
    | NearestCentroid
    | TrueMasks
    | RegionLabels,
    Field(discriminator="method"),
]  # fmt: skip
