"""Linear probe: a 1x1 convolution on the frozen network, trained on true masks.

Source: MaskContrast, section 4.1 (protocol I); values from its code.
"""

from typing import Literal, Self

import torch
from pydantic import Field
from torch import nn
from torch.nn import functional as F

from stages.core.artifacts.label_maps import IGNORE
from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.optim import OptimiserConfig
from stages.core.images.dataset import Batch
from stages.core.images.views import CropSpec, ViewSpec
from stages.core.nets.features import FeatureMap, FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmenter import SegmenterCard
from stages.core.params import Params


class LinearProbe(Params):
    """Tell the classes of pixels apart by what the network says of them already; background is the first class."""

    method: Literal["linear"] = "linear"
    supervision: Literal["labels"] = "labels"
    """What is trained on: wants the pseudo-labels `masks`."""
    feature_map: FeatureMap | None = None
    """`decoder` or `stage4`, the backbone's last map; null for the one that the pretrained model was trained by."""
    views: ViewSpec = ViewSpec(crops=(CropSpec(count=1, size=512, scale=(0.5, 1.0)),), photometric=None)
    """MaskContrast: 512 pixels, scaled by 0.75-1.25, flipped; its rotation by up to 5 degrees is left out."""
    training: TrainingConfig = TrainingConfig(
        epochs=60,
        batch_size=16,
        optimiser=OptimiserConfig(kind="sgd", base_lr=1.6, final_lr=0.0, schedule="poly", weight_decay=1e-4),
    )
    """MaskContrast: 60 epochs of 16 photographs at 0.1; there a tenth after 25 epochs, here falling steadily."""
    short_side: int = Field(512, ge=8)
    """Side in pixels that photographs are resized to at inference."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels, the first of the background."""
        return SegmenterCard(clusters=outputs - 1, short_side=self.short_side, score="softmax", background="class_0")

    def build(self, features: FeatureNetwork, clusters: int) -> "LinearClassifier":
        """The probe of a pretrained network for as many classes; the head's weights come from torch's generator."""
        return LinearClassifier(self, features, clusters)


class LinearClassifier(TrainingMethod):
    """A frozen network of features and a 1x1 convolution."""

    maps = ("pseudolabel",)

    def __init__(self, config: LinearProbe, features: FeatureNetwork, classes: int) -> None:
        super().__init__()
        self.views = config.views
        self.features = features.requires_grad_(False)
        self.head = PixelClassifier(features.size, classes + 1)
        nn.init.normal_(self.head.conv.weight, std=0.01)
        nn.init.zeros_(self.head.conv.bias)  # type: ignore[arg-type]

    def train(self, mode: bool = True) -> Self:
        """Only the head trains: the network's batch statistics and dropout stay as at inference."""
        super().train(mode)
        self.features.eval()
        return self

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the enlarged logits against the masks; ignored pixels do not count."""
        with torch.no_grad():
            features = self.features(batch.views[0])
        target = batch.maps["pseudolabel"][0].long()  # (B, H, W)
        logits = F.interpolate(self.head(features).float(), target.shape[-2:], mode="bilinear", align_corners=False)
        counted = (target != IGNORE).sum().clamp_min(1)
        loss = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum") / counted
        return Losses(loss, {"accuracy": (logits.argmax(1) == target).sum() / counted})

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.head}
