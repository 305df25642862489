"""Fine-tuning on one label per photograph: 1x1 convolution, global average pooling, cross-entropy.

At inference the pooling is dropped, which leaves class activation maps.

Source: LUSS, section 3.1 (fine-tuning and inference); optimizer and length from PASS, step 3.
"""

import math

from torch import nn
from torch.nn import functional as F

from stages.core.config.views import MultiCropConfig
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.finetune.training import SegmenterTraining

_CAUSES = "the labels, artifacts/pseudolabel, follow nothing that the network sees: look at the clusters in the report"


class ImageClassifier(SegmenterTraining):
    """Network of features and 1x1 convolution."""

    maps = ("pseudolabel",)

    def __init__(self, views: MultiCropConfig, features: FeatureNetwork, clusters: int) -> None:
        super().__init__()
        self.views = views
        self.expected = Expectation({"loss": math.log(clusters)}, causes=_CAUSES)
        self.features = features
        self.head = PixelClassifier(features.size, clusters)

    @property
    def classifier(self) -> PixelClassifier:
        """The head."""
        return self.head

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the pooled logits against the cluster of the photograph."""
        target = batch.maps["pseudolabel"][0][:, 0, 0].long() - 1  # (B,)
        logits = self.head(self.features(batch.views[0])).mean((2, 3)).float()  # (B, K)
        accuracy = (logits.argmax(1) == target).float().mean()
        return Losses(F.cross_entropy(logits, target), {"accuracy": accuracy})

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.head}
