"""Saliency: how much every pixel of a photograph stands out, without labels.

Reads `index/images`. Writes 8-bit maps (0 background, 255 most salient), optionally cut into binary masks.
`pretrain` (LUSS, MaskContrast), `attend`, `extract` and `pseudolabel` use them as a first guess of where the object is.
"""

from typing import Annotated

from pydantic import Field

from stages.saliency.methods.distilled import Distilled
from stages.saliency.methods.external import External
from stages.saliency.methods.hc import HistogramContrast
from stages.saliency.methods.none import NoSaliency
from stages.saliency.methods.rbd import RobustBackground
from stages.saliency.methods.rc import RegionContrast
from stages.saliency.methods.spectral_residual import SpectralResidual

# fmt: off
Config = Annotated[
    NoSaliency
    | RegionContrast
    | HistogramContrast
    | RobustBackground
    | SpectralResidual
    | Distilled
    | External,
    Field(discriminator="method"),
]
