"""Superpixels: every photograph cut into small regions of one color, without labels.

Reads `index/images`. Writes label maps with ids from 1, each id one connected component.
`pretrain` (ViCE), `extract` and `pseudolabel` average over these regions instead of over single pixels.
"""

from typing import Annotated

from pydantic import Field

from stages.superpixels.methods.felzenszwalb import FelzenszwalbConfig
from stages.superpixels.methods.grid import GridConfig
from stages.superpixels.methods.mslic import MSLICConfig
from stages.superpixels.methods.none import NoSuperpixelsConfig
from stages.superpixels.methods.slic import SLICConfig
from stages.superpixels.methods.slico import SLICOConfig

# fmt: off
Config = Annotated[
    NoSuperpixelsConfig
    | SLICConfig
    | SLICOConfig
    | MSLICConfig
    | FelzenszwalbConfig
    | GridConfig,
    Field(discriminator="method"),
]
