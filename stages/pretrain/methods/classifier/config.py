"""Parameters of the supervised classifier."""

from typing import TYPE_CHECKING, Literal

from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.classifier.method import Classifier


class ClassifierPretrainConfig(TrainedPretrainConfig):
    """Learn the true classes of the training photographs. The defaults are those usual for ResNets on ImageNet."""

    method: Literal["classifier"] = "classifier"
    supervision: Literal["labels"] = "labels"  # type: ignore[assignment]
    """The class that each training photograph is filed under; a result that rests on it is never strict."""
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.08, 1.0)),), photometric=None
    )
    """One view."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(
        epochs=100, optimizer=OptimizerConfig(kind="sgd", base_lr=0.1, final_lr=0.0, weight_decay=1e-4)
    )
    """He et al. 2016: SGD, 0.1 for 256 photographs, weight decay 1e-4; along a cosine here."""

    def build(self) -> "Classifier":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.classifier.method import Classifier

        return Classifier(self)
