"""Parameters of SimCLR."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import ProjectionConfig
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.pretrain.config import TrainedPretrainConfig, TwoViewConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.simclr.method import SimCLR


class SimCLRConfig(TrainedPretrainConfig):
    """SimCLR. The defaults are those of OpenSelfSup on ImageNet, at 256 photographs a batch."""

    method: Literal["simclr"] = "simclr"
    views: TwoViewConfig = MultiCropConfig(crops=(CropConfig(count=2, size=224, scale=(0.08, 1.0)),))
    """Section 3 and appendix A: crops of 0.08 to 1, strong changes of color, blur."""
    projector: ProjectionConfig = ProjectionConfig()
    """The head: as wide as the features, 128. Section 4.2."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax. Table 5: 0.1."""
    training: TrainingConfig = TrainingConfig(
        epochs=200,
        optimizer=OptimizerConfig(
            kind="lars", base_lr=0.3, final_lr=0.0, warmup_epochs=10, weight_decay=1e-6, decay_norm_and_bias=False
        ),
    )
    """Section 2.2: LARS, 0.3 for 256 photographs, weight decay 1e-6, 10 epochs of warm-up."""

    def build(self) -> "SimCLR":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.simclr.method import SimCLR

        return SimCLR(self)
