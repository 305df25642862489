"""Extract: one embedding per photograph, or per region of it, in Parquet.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency` and the model `artifacts/attend`. Writes
the features `artifacts/extract`, which clustering groups.
"""

from typing import Annotated

from pydantic import Field

from stages.extract.methods.image import ImageEmbeddings
from stages.extract.methods.region import RegionEmbeddings
from stages.extract.methods.salient_object import SalientObjects

Config = Annotated[
    ImageEmbeddings
    | RegionEmbeddings
    | SalientObjects,
    Field(discriminator="method"),
]  # fmt: skip
