"""Pretrain: a backbone that represents the photographs, learnt without labels.

Reads `artifacts/index/images` (the train split), and the label maps of `superpixels` and `saliency` where the method
wants them. Writes the model `artifacts/pretrain`. Everything after it stands on this representation.
"""

from typing import Annotated

from pydantic import Field

from stages.pretrain.methods.dino.config import DINOConfig
from stages.pretrain.methods.luss.config import LUSSConfig
from stages.pretrain.methods.maskcontrast.config import MaskContrastConfig
from stages.pretrain.methods.none.config import NoPretrainingConfig
from stages.pretrain.methods.pass_.config import PASSConfig
from stages.pretrain.methods.swav.config import SwAVConfig
from stages.pretrain.methods.vice.config import VICEConfig

Config = Annotated[
    NoPretrainingConfig
    | SwAVConfig
    | LUSSConfig
    | PASSConfig
    | DINOConfig
    | MaskContrastConfig
    | VICEConfig,
    Field(discriminator="method"),
]  # fmt: skip
