"""Fine-tuning on one label per pixel: 1x1 convolution and cross-entropy over the clusters and the background.

Source: the code of LUSS's authors (PASS, step 3).
"""

from typing import Literal

from pydantic import Field

from stages.core.engine.loop import TrainingConfig
from stages.core.images.views import CropConfig, MultiCropConfig
from stages.core.nets.features import FeatureMap, FeatureNetwork
from stages.core.nets.segmenter import SegmenterCard
from stages.core.params import Params
from stages.finetune.pixel_labels import PixelLabelClassifier
from stages.finetune.threshold import ThresholdConfig


class PixelFineTuningConfig(Params):
    """Classify pixels; background is the first class."""

    method: Literal["pixel"] = "pixel"
    supervision: Literal["images"] = "images"
    """What the training labels come from; this method takes the pseudo-labels of pixels."""
    feature_map: FeatureMap | None = None
    """`decoder` or `stage4`, the backbone's last map; null for the one that the pretrained model was trained by."""
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=224, scale=(0.08, 1.0)),), photometric=None
    )
    """PASS: 224 pixels, scale 0.08-1, flip, no change of color."""
    label_scale: float = Field(0.5, gt=0, le=1)
    """Side at which logits and labels are compared, as a share of the view's. PASS: 0.5."""
    training: TrainingConfig = TrainingConfig(epochs=20)
    """PASS: 20 epochs of 256 photographs, LARC 0.6."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to at inference. PASS: 256."""

    background: Literal["class_0", "threshold"] = "class_0"
    """When a pixel is background: `class_0` where no category is more probable (PASS); `threshold` where all categories
    together are not probable enough, which holds up where the categories are uncertain."""
    threshold: ThresholdConfig = ThresholdConfig()
    """Of the probability of all categories together; not used with `class_0`."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels, the first of the background."""
        plain = SegmenterCard(
            clusters=outputs - 1, short_side=self.short_side, score="softmax", background=self.background
        )
        return plain if self.background == "class_0" else {**plain, "score": "foreground", **self.threshold.card}

    def build(self, features: FeatureNetwork, clusters: int) -> PixelLabelClassifier:
        """The method on a pretrained network; the head's weights come from torch's generator."""
        return PixelLabelClassifier(features, clusters, self.views, self.label_scale)
