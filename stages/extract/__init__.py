"""Extract: one embedding per photograph, or per region of it, in Parquet.

Reads `artifacts/index/images`, `artifacts/superpixels`, `artifacts/saliency` and the model `artifacts/attend`. Writes
the features `artifacts/extract`, which clustering groups.
"""

from stages.extract.methods.image import ImageEmbeddings

Config = ImageEmbeddings
