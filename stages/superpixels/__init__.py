"""Superpixels: every photograph cut into small regions of one colour, without labels.

Reads `index/images`. Writes label maps with ids from 1, each id one connected component.
`pretrain` (ViCE), `extract` and `pseudolabel` average over these regions instead of over single pixels.
"""

from typing import Annotated

from pydantic import Field

from stages.superpixels.methods.none import NoSuperpixels
from stages.superpixels.methods.slic import SLIC

# fmt: off
Config = Annotated[
    NoSuperpixels
    | SLIC,
    Field(discriminator="method"),
]
