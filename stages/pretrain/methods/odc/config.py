"""Parameters of ODC."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CenterViewConfig, CropConfig, MultiCropConfig, PhotometricConfig
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.odc.method import ODC


class ODCConfig(TrainedPretrainConfig):
    """ODC. The defaults are those of OpenSelfSup on ImageNet, at 512 photographs a batch."""

    method: Literal["odc"] = "odc"
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.2, 1.0)),),
        photometric=PhotometricConfig(jitter=(0.4, 0.4, 0.4, 0.4), jitter_probability=1.0, blur_probability=0.0),
    )
    """What the clusters are learnt from."""
    surveyed: CenterViewConfig = CenterViewConfig()
    """What photographs are clustered by at the start."""
    hidden: int = Field(512, ge=1)
    """Width of the neck between its two layers. OpenSelfSup: 512."""
    projected: int = Field(256, ge=1)
    """D, size of a row of the memory. OpenSelfSup: 256."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Between the neck's layers. OpenSelfSup: 0.5."""
    kept: float = Field(0.5, ge=0, lt=1)
    """Share of a photograph's row that an update keeps. Section 4.1: 0.5."""
    clusters: int = Field(10000, ge=2)
    """K. Section 4.1: 10000."""
    smallest: int = Field(20, ge=1)
    """Photographs of a cluster; a smaller one is given up for half of the largest. Section 4.1: 20."""
    refresh: int = Field(10, ge=1)
    """Steps between two updates of the centroids. Section 4.1: 10."""
    training: TrainingConfig = TrainingConfig(
        epochs=440,
        batch_size=512,
        optimizer=OptimizerConfig(kind="sgd", base_lr=0.03, final_lr=0.0, weight_decay=1e-5),
    )
    """OpenSelfSup: SGD, 0.06 for 512 photographs, weight decay 1e-5, 440 epochs."""

    def build(self) -> "ODC":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.odc.method import ODC

        return ODC(self)
