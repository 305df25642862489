"""Parameters of DeepCluster."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CenterViewConfig, CropConfig, MultiCropConfig, PhotometricConfig
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.deepcluster.method import DeepCluster


class DeepClusterConfig(TrainedPretrainConfig):
    """DeepCluster. The defaults are those of OpenSelfSup on ImageNet, without the Sobel filter."""

    method: Literal["deepcluster"] = "deepcluster"
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.08, 1.0)),),
        photometric=PhotometricConfig(jitter=(0.4, 0.4, 0.4, 0.4), jitter_probability=1.0, blur_probability=0.0),
    )
    """What the clusters are learnt from."""
    surveyed: CenterViewConfig = CenterViewConfig()
    """What photographs are clustered by."""
    clusters: int = Field(10000, ge=2)
    """K. Section 4.1: 10000 on ImageNet, ten times its classes."""
    components: int = Field(256, ge=2)
    """Principal components that features are whitened to before clustering. Section 3.3: 256."""
    training: TrainingConfig = TrainingConfig(
        epochs=200,
        batch_size=512,
        optimizer=OptimizerConfig(kind="sgd", base_lr=0.05, final_lr=0.0, weight_decay=1e-5),
    )
    """OpenSelfSup: SGD, 0.1 for 512 photographs, weight decay 1e-5, 200 epochs."""

    def build(self) -> "DeepCluster":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.deepcluster.method import DeepCluster

        return DeepCluster(self)
