"""Parameters of NPID."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, PhotometricConfig
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.npid.method import NPID


class NPIDConfig(TrainedPretrainConfig):
    """NPID. The defaults are those of OpenSelfSup on ImageNet, at 256 photographs a batch."""

    method: Literal["npid"] = "npid"
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.2, 1.0)),),
        photometric=PhotometricConfig(jitter=(0.4, 0.4, 0.4, 0.4), jitter_probability=1.0, blur_probability=0.0),
    )
    """One view; gray in one of five."""
    projected: int = Field(128, ge=1)
    """D, size of a row of the memory. Section 3: 128."""
    last_norm: bool = False
    """Batch norm without affine parameters before a row is brought to length 1. NPID: no. With few photographs it takes
    off what all of them share, which else is most of a row and tells none from another."""
    temperature: float = Field(0.07, gt=0)
    """Of the softmax. Section 3.1: 0.07."""
    negatives: int = Field(65536, ge=1)
    """Other photographs that one is told from, drawn anew for every step and shared by its batch; all where there are
    no more. OpenSelfSup: 65536, for each photograph others."""
    kept: float = Field(0.5, ge=0, lt=1)
    """Share of a photograph's row that an update keeps. Section 3.1: 0.5."""
    training: TrainingConfig = TrainingConfig(
        epochs=200, optimizer=OptimizerConfig(kind="sgd", base_lr=0.03, final_lr=0.0, weight_decay=1e-4)
    )
    """Section 4: SGD, 0.03 for 256 photographs, 200 epochs; falling along a cosine here, in steps there."""

    def build(self) -> "NPID":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.npid.method import NPID

        return NPID(self)
