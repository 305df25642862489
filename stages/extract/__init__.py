"""Extract: one embedding per photograph, or per region of it, in Parquet.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency` and the model `artifacts/attend`. Writes
the features `artifacts/extract`, which clustering groups.
"""

from typing import Annotated

from pydantic import Field

from stages.extract.methods.image.config import ImageEmbeddingConfig
from stages.extract.methods.region.config import RegionEmbeddingConfig
from stages.extract.methods.salient_object.config import SalientObjectConfig
from stages.extract.methods.sliding_windows.config import SlidingWindowsConfig

Config = Annotated[
    ImageEmbeddingConfig
    | RegionEmbeddingConfig
    | SalientObjectConfig
    | SlidingWindowsConfig,
    Field(discriminator="method"),
]  # fmt: skip
