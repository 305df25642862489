"""Finetune: train the segmenter on the pseudo-labels, starting from the representation.

Reads `artifacts/index/images`, the models `artifacts/pretrain` and `artifacts/attend`, `artifacts/cluster` and the
label maps `artifacts/pseudolabel`. Writes the model `artifacts/finetune`: a segmenter, which needs nothing else to run.
"""

from typing import Annotated

from pydantic import Field

from stages.finetune.methods.image import ImageFineTuning
from stages.finetune.methods.linear import LinearProbe
from stages.finetune.methods.none import NoFineTuning
from stages.finetune.methods.pixel import PixelFineTuning
from stages.finetune.methods.supervised import SupervisedFineTuning

Config = Annotated[
    NoFineTuning
    | LinearProbe
    | ImageFineTuning
    | PixelFineTuning
    | SupervisedFineTuning,
    Field(discriminator="method"),
]  # fmt: skip
