"""Saliency: how much every pixel of a photograph stands out, without labels.

Reads `index/images`. Writes 8-bit maps (0 background, 255 most salient), optionally cut into binary masks.
`pretrain` (LUSS, MaskContrast), `attend`, `extract` and `pseudolabel` use them as a first guess of where the object is.
"""

from typing import Annotated

from pydantic import Field

from stages.saliency.methods.ensemble import EnsembleConfig
from stages.saliency.methods.external import ExternalConfig
from stages.saliency.methods.hc import HCConfig
from stages.saliency.methods.none import NoSaliencyConfig
from stages.saliency.methods.rbd import RBDConfig
from stages.saliency.methods.rc import RCConfig
from stages.saliency.methods.spectral_residual import SpectralResidualConfig
from stages.saliency.methods.token_cut import TokenCutConfig

# fmt: off
Config = Annotated[
    NoSaliencyConfig
    | RCConfig
    | HCConfig
    | RBDConfig
    | SpectralResidualConfig
    | EnsembleConfig
    | TokenCutConfig
    | ExternalConfig,
    Field(discriminator="method"),
]
