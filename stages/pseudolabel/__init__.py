"""Pseudolabel: turn clusters into labels of photographs or pixels that a segmenter can be trained on.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency`, the model `artifacts/attend`,
`artifacts/cluster` and, where a person has clusters cut into parts, `artifacts/extract`. Writes the label maps
`artifacts/pseudolabel`, ids from 1, 0 background; beside them the class maps of a method that makes some, the history
of a training, where one takes place, or how many categories a person has made of the clusters.
"""

from typing import Annotated

from pydantic import Field

from stages.pseudolabel.methods.image.config import ImageLabelConfig
from stages.pseudolabel.methods.masks.config import TrueMaskLabelConfig
from stages.pseudolabel.methods.nearest_centroid.config import NearestCentroidConfig
from stages.pseudolabel.methods.rca.config import RCAConfig
from stages.pseudolabel.methods.region.config import RegionLabelConfig
from stages.pseudolabel.methods.sc_cam.config import SCCAMConfig
from stages.pseudolabel.methods.seam.config import SEAMConfig
from stages.pseudolabel.methods.vit_gradcam.config import ViTGradCAMConfig

Config = Annotated[
    ImageLabelConfig
    | NearestCentroidConfig
    | TrueMaskLabelConfig
    | RegionLabelConfig
    | ViTGradCAMConfig
    | RCAConfig
    | SEAMConfig
    | SCCAMConfig,
    Field(discriminator="method"),
]  # fmt: skip
