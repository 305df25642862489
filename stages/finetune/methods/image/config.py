"""Parameters of fine-tuning on one label per photograph."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import FeatureMap
from stages.core.config.segmenter import Score, SegmenterCard, ThresholdConfig
from stages.core.config.training import DivisibleTrainingConfig, OptimizerConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.finetune.config import TrainedFinetuneConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.finetune.methods.image.method import ImageClassifier


class ImageFineTuningConfig(TrainedFinetuneConfig):
    """Classify whole photographs by their cluster."""

    method: Literal["image"] = "image"
    supervision: Literal["images"] = "images"
    """What the training labels come from; this method takes clusters of photographs."""
    feature_map: FeatureMap | None = None
    """`decoder` (LUSS: Our-D) or `stage4`, the backbone's last map (Our-S4); null for the one that the pretrained model
    was trained by."""
    attended: bool = True
    """Weigh pixels by the model's attention where it has one, so that classes are pooled as the embeddings were. Not
    said in LUSS; class activation marks a part of the object or all of the photograph without it."""
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.08, 1.0)),), photometric=None
    )
    """PASS: 224 pixels, scale 0.08-1, flip, no change of color."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(epochs=20, optimizer=OptimizerConfig())
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to at inference. PASS: 256."""
    score: Score = "softmax"
    """What is compared with the threshold; not specified by LUSS."""
    threshold: ThresholdConfig = ThresholdConfig()
    """Below it a pixel is background."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels."""
        return SegmenterCard(
            clusters=outputs,
            short_side=self.short_side,
            score=self.score,
            background="threshold",
            threshold=self.threshold.value,
            threshold_source=self.threshold.source,
        )

    @property
    def searched_threshold(self) -> ThresholdConfig | None:
        """How the threshold is found."""
        return self.threshold

    @property
    def is_attended(self) -> bool:
        """Whether pixels are weighed by the pretrained model's attention, where it has one."""
        return self.attended

    def build(self, features: "FeatureNetwork", categories: int) -> "ImageClassifier":
        """What is trained, on a pretrained network; see `TrainedFinetuneConfig.build`."""
        from stages.finetune.methods.image.method import ImageClassifier

        return ImageClassifier(self.views, features, categories)
