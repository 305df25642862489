"""Fine-tuning on one label per photograph: 1x1 convolution, global average pooling, cross-entropy.

At inference the pooling is dropped, which leaves class activation maps.

Source: LUSS, section 3.1 (fine-tuning and inference); optimizer and length from PASS, step 3.
"""

import math
from typing import Literal

from pydantic import Field
from torch import nn
from torch.nn import functional as F

from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.optim import OptimizerConfig
from stages.core.images.dataset import Batch
from stages.core.images.views import CropConfig, MultiCropConfig
from stages.core.nets.features import FeatureMap, FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmenter import Score, SegmenterCard
from stages.core.params import Params
from stages.finetune.threshold import ThresholdConfig


class ImageFineTuningConfig(Params):
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
    training: TrainingConfig = TrainingConfig(epochs=20, optimizer=OptimizerConfig())
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
            **self.threshold.card,
        )

    def build(self, features: FeatureNetwork, clusters: int) -> "ImageClassifier":
        """The method on a pretrained network; the head's weights come from torch's generator."""
        return ImageClassifier(self, features, clusters)


class ImageClassifier(TrainingMethod):
    """Network of features and 1x1 convolution."""

    maps = ("pseudolabel",)

    def __init__(self, config: ImageFineTuningConfig, features: FeatureNetwork, clusters: int) -> None:
        super().__init__()
        self.views = config.views
        self.chance = {"loss": math.log(clusters)}
        self.features = features
        self.head = PixelClassifier(features.size, clusters)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the pooled logits against the cluster of the photograph."""
        target = batch.maps["pseudolabel"][0][:, 0, 0].long() - 1  # (B,)
        logits = self.head(self.features(batch.views[0])).mean((2, 3)).float()  # (B, K)
        accuracy = (logits.argmax(1) == target).float().mean()
        return Losses(F.cross_entropy(logits, target), {"accuracy": accuracy})

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.head}
