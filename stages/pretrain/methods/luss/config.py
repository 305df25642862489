"""Parameters of LUSS."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.core.config.networks import DecoderConfig, DeepLabV3PlusConfig
from stages.pretrain.config import MultiCropClusteringConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.luss.method import LUSS


class LUSSConfig(MultiCropClusteringConfig):
    """The paper's method; what it leaves open (length, crops, batch) is as in its authors' code for ImageNet-S50."""

    method: Literal["luss"] = "luss"
    decoder: DecoderConfig | None = DeepLabV3PlusConfig(output_stride=8)
    """What stands on the backbone; null for its last map. Paper: DeepLabV3+*, whose stride was found by counting."""
    attention: bool = True
    """Pool with one learnt weight per pixel, c(z)."""
    saliency_weight: float = Field(1.0, ge=0)
    """Of the cross-entropy between attention and saliency; 0 for no shape prior. Not stated in the paper."""
    image_to_pixel: float = Field(1.0, ge=0)
    """Weight of the pixels' loss against the codes of the other view's image, summed over both views; 0 for none. Not
    stated in the paper."""
    pixel_to_pixel: float = Field(1.0, ge=0)
    """Weight of the pixels' loss against the codes of the other view's pixels, summed over both views; 0 for none. Not
    stated in the paper."""

    @model_validator(mode="after")
    def _has_what_is_supervised(self) -> "LUSSConfig":
        if self.saliency_weight and not self.attention:
            raise ValueError("saliency_weight supervises the attention: set attention: true or saliency_weight: 0")
        return self

    def build(self) -> "LUSS":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.luss.method import LUSS

        return LUSS(self)
