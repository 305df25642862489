"""Parameters of one embedding per region."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.extract.config import ExtractConfig

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class RegionEmbeddingConfig(ExtractConfig):
    """The embeddings of a dense network, over parts of photographs."""

    method: Literal["region"] = "region"
    regions: Literal["superpixels", "pixels"] = "superpixels"
    """The mean over each superpixel, or single pixels as ViCE clusters them; labels cannot be painted from those."""
    pixels: int = Field(256, ge=1)
    """Pixels drawn per photograph, evenly and without repetition; ViCE: all. Used by `pixels`."""
    sampled: int | None = Field(None, ge=1)
    """Superpixels drawn per photograph, evenly and without repetition, so that k-means fits where there are many
    photographs; null for all. Used by `superpixels`; labels are painted on those drawn."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to, the aspect kept. ViCE at low resolution: 320."""
    seed: int = Field(0, ge=0)
    """Of the sample of pixels or superpixels."""

    def write_vectors(self, index: "ImageIndex") -> None:
        """Write one vector per region; see `ExtractConfig.write_vectors`."""
        from stages.extract.methods.region.method import write

        write(self, index)
