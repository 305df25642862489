"""Parameters of rotation."""

from typing import TYPE_CHECKING, Literal

from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.rotation.method import Rotation


class RotationConfig(TrainedPretrainConfig):
    """Rotation. The defaults are those of OpenSelfSup on ImageNet; a batch holds every photograph in four turns."""

    method: Literal["rotation"] = "rotation"
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.08, 1.0)),), photometric=None
    )
    """The photograph that is turned; its colors stay as they are."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(
        epochs=70,
        batch_size=128,
        optimizer=OptimizerConfig(kind="sgd", base_lr=0.4, final_lr=0.0, weight_decay=1e-4),
    )
    """OpenSelfSup: 70 epochs, a rate of 0.2 for 128 photographs, weight decay 1e-4. The rate falls along a cosine here,
    in three steps there."""

    def build(self) -> "Rotation":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.rotation.method import Rotation

        return Rotation(self)
