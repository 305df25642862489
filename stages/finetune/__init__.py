"""Finetune: train the segmenter on the pseudo-labels, starting from the representation.

Reads `artifacts/index/images`, the models `artifacts/pretrain` and `artifacts/attend`, `artifacts/cluster` and the
label maps `artifacts/pseudolabel`. Writes the model `artifacts/finetune`: a segmenter, which needs nothing else to run.
"""

from typing import Annotated

from pydantic import Field

from stages.finetune.methods.image import ImageFineTuningConfig
from stages.finetune.methods.linear import LinearProbeConfig
from stages.finetune.methods.none import NoFineTuningConfig
from stages.finetune.methods.pixel import PixelFineTuningConfig
from stages.finetune.methods.supervised import SupervisedFineTuningConfig

Config = Annotated[
    NoFineTuningConfig
    | LinearProbeConfig
    | ImageFineTuningConfig
    | PixelFineTuningConfig
    | SupervisedFineTuningConfig,
    Field(discriminator="method"),
]  # fmt: skip
