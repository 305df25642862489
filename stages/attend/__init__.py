"""Attend: learn which pixels of a photograph carry its content, on top of the representation.

Reads `artifacts/index/images`, `artifacts/saliency` and the model `artifacts/pretrain`. Writes the model
`artifacts/attend`: the same backbone, with an attention part where the method trains one. Clustering and pseudo-labels
read this model; fine-tuning starts again from `pretrain`.
"""

from typing import Annotated

from pydantic import Field

from stages.attend.methods.cls_attention.config import ClassTokenAttentionConfig
from stages.attend.methods.none.config import NoAttentionConfig
from stages.attend.methods.pixel_attention.config import PixelAttentionConfig

Config = Annotated[
    NoAttentionConfig
    | PixelAttentionConfig
    | ClassTokenAttentionConfig,
    Field(discriminator="method"),
]  # fmt: skip
