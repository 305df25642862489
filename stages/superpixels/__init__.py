"""Superpixels: every photograph cut into small regions of one color, without labels.

Reads `index/images`. Writes label maps with ids from 1, each id one connected component.
`pretrain` (ViCE), `extract` and `pseudolabel` average over these regions instead of over single pixels.
"""

from typing import Annotated

from pydantic import Field

from stages.superpixels.methods.felzenszwalb import Felzenszwalb
from stages.superpixels.methods.grid import Grid
from stages.superpixels.methods.mslic import MSLIC
from stages.superpixels.methods.none import NoSuperpixels
from stages.superpixels.methods.slic import SLIC
from stages.superpixels.methods.slico import SLICO

# fmt: off
Config = Annotated[
    NoSuperpixels
    | SLIC
    | SLICO
    | MSLIC
    | Felzenszwalb
    | Grid,
    Field(discriminator="method"),
]
