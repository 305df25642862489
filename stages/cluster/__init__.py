"""Cluster: group the embeddings; every cluster becomes a category.

Reads the splits of `artifacts/index/images` and the features `artifacts/extract`. Writes the clusters
`artifacts/cluster`: raw centroids and the cluster of every region.
"""

from typing import Annotated

from pydantic import Field

from stages.cluster.methods.kmeans import KMeansConfig
from stages.cluster.methods.spectral import SpectralConfig

Config = Annotated[
    KMeansConfig
    | SpectralConfig,
    Field(discriminator="method"),
]  # fmt: skip
