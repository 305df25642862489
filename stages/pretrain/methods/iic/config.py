"""Parameters of IIC."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import DecoderConfig, FPNConfig
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, PhotometricConfig
from stages.pretrain.config import TrainedPretrainConfig, TwoViewConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.iic.method import IIC


class IICConfig(TrainedPretrainConfig):
    """IIC for segmentation, on a ResNet with a pyramid in place of the paper's shallow network."""

    method: Literal["iic"] = "iic"
    decoder: DecoderConfig = FPNConfig()
    """Its map has the pixels that are clustered."""
    views: TwoViewConfig = MultiCropConfig(
        crops=(CropConfig(count=2, size=128, scale=(0.5, 1.0)),),
        photometric=PhotometricConfig(jitter=(0.4, 0.4, 0.4, 0.125), blur_probability=0.0),
    )
    """Section 4.3: 128 pixels, changes of color, mirrored."""
    clusters: int = Field(27, ge=2)
    """C, of the main head."""
    overclusters: int = Field(135, ge=2)
    """Of the head that is trained by turns with it, epoch by epoch. Section 3.4: several times as many."""
    points: int = Field(24, ge=2)
    """Places a side at which both views' maps are read."""
    shift: int = Field(2, ge=0)
    """Places by which pixels are compared with their neighbors too. Section 4.3: 10 pixels, about two places here."""
    training: TrainingConfig = TrainingConfig(
        epochs=50,
        batch_size=128,
        optimizer=OptimizerConfig(kind="adamw", base_lr=2e-4, final_lr=2e-4, schedule="constant", weight_decay=0.0),
    )
    """Section 4.1: Adam, 0.0001."""

    def build(self) -> "IIC":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.iic.method import IIC

        return IIC(self)
