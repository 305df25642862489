"""Finetune: train the segmenter on the pseudo-labels, starting from the representation.

Reads `artifacts/index/images`, the models `artifacts/pretrain` and `artifacts/attend`, `artifacts/cluster` and the
label maps `artifacts/pseudolabel`. Writes the model `artifacts/finetune`: a segmenter, which needs nothing else to run.
"""

from typing import Annotated

from pydantic import Field

from stages.finetune.methods.image.config import ImageFineTuningConfig
from stages.finetune.methods.linear.config import LinearProbeConfig
from stages.finetune.methods.none.config import NoFineTuningConfig
from stages.finetune.methods.pixel.config import PixelFineTuningConfig
from stages.finetune.methods.supervised.config import SupervisedFineTuningConfig
from stages.finetune.methods.transfgu.config import TransFGUConfig

Config = Annotated[
    NoFineTuningConfig
    | LinearProbeConfig
    | ImageFineTuningConfig
    | PixelFineTuningConfig
    | SupervisedFineTuningConfig
    | TransFGUConfig,
    Field(discriminator="method"),
]  # fmt: skip
