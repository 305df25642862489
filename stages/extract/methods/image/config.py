"""Parameters of one embedding per photograph."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import FeatureMap
from stages.extract.config import ExtractConfig

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class ImageEmbeddingConfig(ExtractConfig):
    """The mean of a feature map over a center crop, attention-pooled where the model has an attention part."""

    method: Literal["image"] = "image"
    resize: int = Field(256, ge=8)
    """Shorter side in pixels. PASS: 256."""
    crop: int = Field(224, ge=8)
    """Side of the center crop in pixels. PASS: 224."""
    feature_map: FeatureMap | None = None
    """`decoder` (LUSS: Our-D) or `stage4`, the backbone's last map (Our-S4); null for the one that the model was
    trained by. Attention belongs to that one and weighs no other."""
    embedding: Literal["backbone", "projected", "class_token"] = "backbone"
    """The map's mean feature, what the projection head makes of it (a unit vector), or a vision transformer's class
    token, of the same blocks as its map. LUSS and PASS: the map's mean. With few photographs the projected one holds
    less of what a category does not share."""

    def write_vectors(self, index: "ImageIndex") -> None:
        """Write one vector per photograph; see `ExtractConfig.write_vectors`."""
        from stages.extract.methods.image.method import write

        write(self, index)
