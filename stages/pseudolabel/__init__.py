"""Pseudolabel: turn clusters into labels of photographs or pixels that a segmenter can be trained on.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency`, the model `artifacts/attend` and
`artifacts/cluster`. Writes the label maps `artifacts/pseudolabel`, ids from 1, 0 background.
"""

from typing import Annotated

from pydantic import Field

from stages.pseudolabel.methods.image import ImageLabelConfig
from stages.pseudolabel.methods.masks import TrueMaskLabelConfig
from stages.pseudolabel.methods.nearest_centroid import NearestCentroidConfig
from stages.pseudolabel.methods.region import RegionLabelConfig

Config = Annotated[
    ImageLabelConfig
    | NearestCentroidConfig
    | TrueMaskLabelConfig
    | RegionLabelConfig,
    Field(discriminator="method"),
]  # fmt: skip
