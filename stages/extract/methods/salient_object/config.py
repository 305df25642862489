"""Parameters of one embedding per salient object."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.extract.config import ExtractConfig

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class SalientObjectConfig(ExtractConfig):
    """One embedding per photograph, of its salient object; photographs without one have no row."""

    method: Literal["salient_object"] = "salient_object"
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to. MaskContrast: 512 x 512, aspect not kept."""
    mask: Literal["saliency_head", "saliency_maps"] = "saliency_head"
    """Where the object is: what the model's own saliency head says, or the maps of the stage saliency."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Saliency of the head from which on a pixel is the object's. MaskContrast's code: 0.6225 (a logit of 0.5)."""
    weighting: Literal["mean", "saliency"] = "mean"
    """The mean of the pixels' unit embeddings (equation 2), or the sum of their embeddings as they are, weighted by the
    saliency head's logit (MaskContrast's code, whose published k-means numbers rest on it)."""
    whiten: int = Field(0, ge=0)
    """Principal components that the vectors are projected on and scaled to unit variance over all rows; 0 for none.
    MaskContrast's code: 32. Whitened vectors cannot be compared with pixels, so `finetune: none` does not take them."""

    @model_validator(mode="after")
    def _weights_exist(self) -> "SalientObjectConfig":
        if self.weighting == "saliency" and self.mask == "saliency_maps":
            raise ValueError("weighting: saliency takes the logits of the saliency head; set mask: saliency_head")
        return self

    def write_vectors(self, index: "ImageIndex") -> None:
        """Write one vector of each photograph in which something stands out; see `ExtractConfig.write_vectors`."""
        from stages.extract.methods.salient_object.method import write

        write(self, index)
