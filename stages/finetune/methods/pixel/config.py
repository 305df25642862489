"""Parameters of fine-tuning on one label per pixel."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.segmenter import SegmenterCard, ThresholdConfig
from stages.core.config.training import DivisibleTrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig
from stages.finetune.config import TrainedFinetuneConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.finetune.pixel_labels import PixelLabelClassifier


class PixelFineTuningConfig(TrainedFinetuneConfig):
    """Classify pixels; background is the first class."""

    method: Literal["pixel"] = "pixel"
    supervision: Literal["images"] = "images"
    """What the training labels come from; this method takes the pseudo-labels of pixels."""
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.08, 1.0)),), photometric=None
    )
    """PASS: 224 pixels, scale 0.08-1, flip, no change of color."""
    frozen_backbone: bool = False
    """Leave the backbone as it was pretrained, so that only a decoder, where there is one, and the classifier learn:
    a fraction of the time, and all that a few photographs can teach a network that has seen many. PASS: no."""
    label_scale: float = Field(0.5, gt=0, le=1)
    """Side at which logits and labels are compared, as a share of the view's. PASS: 0.5."""
    head_init: Literal["uniform", "fan_out"] = "uniform"
    """Weights that the classifier starts with: torch's for a convolution, or those of PASS's code, which with 50
    categories are ten times as large."""
    training: DivisibleTrainingConfig = DivisibleTrainingConfig(epochs=20)
    """PASS: 20 epochs of 256 photographs, LARC 0.6."""
    rounds: int = Field(1, ge=1)
    """How often is trained, each time from the pretrained network: from the second time on, the training photographs'
    labels are what the segmenter of the time before predicts for them. PASS: once; COMUS: twice."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to at inference. PASS: 256."""

    background: Literal["class_0", "threshold"] = "class_0"
    """When a pixel is background: `class_0` where no category is more probable (PASS); `threshold` where all categories
    together are not probable enough, which holds up where the categories are uncertain."""
    threshold: ThresholdConfig = ThresholdConfig()
    """Of the probability of all categories together; not used with `class_0`."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels, the first of the background."""
        size = {"clusters": outputs - 1, "short_side": self.short_side}
        if self.background == "class_0":
            return SegmenterCard(**size, score="softmax", background="class_0")
        return SegmenterCard(
            **size,
            score="foreground",
            background="threshold",
            threshold=self.threshold.value,
            threshold_source=self.threshold.source,
        )

    @property
    def searched_threshold(self) -> ThresholdConfig | None:
        """How the threshold is found; None where the background is a class."""
        return self.threshold if self.background == "threshold" else None

    @property
    def training_rounds(self) -> int:
        """See `TrainedFinetuneConfig.training_rounds`."""
        return self.rounds

    def build(self, features: "FeatureNetwork", categories: int) -> "PixelLabelClassifier":
        """What is trained, on a pretrained network; see `TrainedFinetuneConfig.build`."""
        from stages.core.nets.heads import draw_fan_out
        from stages.finetune.pixel_labels import LabelSize, PixelLabelClassifier

        frozen = [features.backbone] if self.frozen_backbone else []
        classifier = PixelLabelClassifier(features, categories, self.views, LabelSize(self.label_scale), frozen)
        if self.head_init == "fan_out":
            draw_fan_out(classifier.head)
        return classifier
