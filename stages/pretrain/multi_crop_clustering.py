"""What SwAV and the methods that grew out of it are configured by."""

from typing import Any

from stages.core.engine.loop import TrainingConfig
from stages.core.engine.swapped_prediction import SwappedPredictionConfig
from stages.core.images.views import CropConfig, MultiCropConfig
from stages.core.nets.backbones import BackboneConfig
from stages.core.nets.heads import ProjectionConfig
from stages.core.nets.weights import WeightsFile
from stages.pretrain.multi_crop import MultiCrop


class MultiCropClusteringConfig(SwappedPredictionConfig):
    """Swapped prediction from multi-crop views. The defaults are SwAV's, for 256 photographs a batch."""

    backbone: BackboneConfig = BackboneConfig()
    weights: WeightsFile | None = None
    """Weights of the backbone to start from; null for random ones."""
    views: MultiCrop = MultiCropConfig(
        crops=(CropConfig(count=2, size=224, scale=(0.14, 1.0)), CropConfig(count=6, size=96, scale=(0.05, 0.14)))
    )
    """The first two get codes, and whatever a method asks of whole objects; the small ones only predict. Section 4.1:
    2 x 224 + 6 x 96."""
    projector: ProjectionConfig = ProjectionConfig()
    """The image head."""
    training: TrainingConfig = TrainingConfig(epochs=200)

    @property
    def parts_card(self) -> dict[str, Any]:
        """The parts that are exported, with their configs."""
        return {
            "backbone": self.backbone.model_dump(mode="json"),
            "projector": self.projector.model_dump(mode="json"),
            "prototypes": {"count": self.prototypes},
        }
