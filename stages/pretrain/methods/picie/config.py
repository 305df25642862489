"""Parameters of PiCIE."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import DecoderConfig, FPNConfig
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, PhotometricConfig
from stages.pretrain.config import TrainedPretrainConfig, TwoViewConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.picie.method import PiCIE


class PiCIEConfig(TrainedPretrainConfig):
    """PiCIE. The defaults are those of the authors' code for COCO-Stuff, which starts from supervised weights."""

    method: Literal["picie"] = "picie"
    decoder: DecoderConfig = FPNConfig()
    """Its map has the pixels that are clustered. The authors: a pyramid of 128 channels."""
    views: TwoViewConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=320, scale=(0.5, 1.0)), CropConfig(count=1, size=320, scale=(1.0, 1.0))),
        photometric=PhotometricConfig(jitter=(0.3, 0.3, 0.3, 0.1)),
    )
    """A crop, and the whole, whose map is read where the crop lies: the same for all of an epoch."""
    clusters: int = Field(27, ge=2)
    """K of each view. Section 4: 27."""
    points: int = Field(20, ge=2)
    """Places a side at which both views' maps are read in training; the authors read all pixels."""
    surveyed_points: int = Field(5, ge=2)
    """Places a side that are clustered, of each view of each photograph; the authors: mini-batches of all pixels."""
    training: TrainingConfig = TrainingConfig(
        epochs=10,
        batch_size=128,
        optimizer=OptimizerConfig(kind="adamw", base_lr=2e-4, final_lr=2e-4, schedule="constant", weight_decay=0.0),
    )
    """The authors: Adam, 0.0001 for 128 photographs (Cityscapes: 0.001), 10 epochs."""

    def build(self) -> "PiCIE":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.picie.method import PiCIE

        return PiCIE(self)
