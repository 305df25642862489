"""Linear probe: a 1x1 convolution on the frozen network, trained on true masks.

Source: MaskContrast, section 4.1 (protocol I); values from its code.
"""

from typing import Literal, Self, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.label_maps import IGNORE
from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.optim import OptimizerConfig
from stages.core.images.dataset import Batch
from stages.core.images.views import CropConfig, MultiCropConfig
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmenter import SegmenterCard
from stages.finetune.true_masks import TrueMaskTrainingConfig


class LinearProbeConfig(TrueMaskTrainingConfig):
    """Tell the classes of pixels apart by what the network says of them already."""

    method: Literal["linear"] = "linear"
    background: bool = True
    """Whether background is the first class; false where every pixel has a class, as in scenes."""
    normalize: bool = False
    """Bring every pixel's features to length 1 before. ViCE: yes."""
    hidden: int = Field(0, ge=0)
    """Channels between two linear layers with batch norm between, which become one in the segmenter; 0 for a single
    layer. ViCE: one layer in its paper, two with 256 channels between in its code."""
    views: MultiCropConfig = MultiCropConfig(crops=(CropConfig(count=1, size=512, scale=(0.5, 1.0)),), photometric=None)
    """MaskContrast: 512 pixels, scaled by 0.75-1.25, flipped; its rotation by up to 5 degrees is left out."""
    training: TrainingConfig = TrainingConfig(
        epochs=60,
        batch_size=16,
        optimizer=OptimizerConfig(kind="sgd", base_lr=1.6, final_lr=0.0, schedule="poly", weight_decay=1e-4),
    )
    """MaskContrast: 60 epochs of 16 photographs at 0.1; there a tenth after 25 epochs, here falling steadily."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels."""
        if self.background:
            return super().segmenter_card(outputs)
        return SegmenterCard(
            clusters=outputs,
            short_side=self.short_side,
            score="softmax",
            background="threshold",
            threshold=0.0,
            threshold_source="fixed",
        )

    def build(self, features: FeatureNetwork, clusters: int) -> "LinearProbe":
        """The probe of a pretrained network for as many classes; the head's weights come from torch's generator."""
        return LinearProbe(self, features, clusters)


class LinearProbe(TrainingMethod):
    """A frozen network of features and a 1x1 convolution."""

    maps = ("pseudolabel",)

    def __init__(self, config: LinearProbeConfig, features: FeatureNetwork, classes: int) -> None:
        super().__init__()
        self.views = config.views
        self.features = features.requires_grad_(False)
        self.normalize, self.background = config.normalize, config.background
        self.first = _first_layer(features.size, config.hidden) if config.hidden else None
        self.last = nn.Conv2d(config.hidden or features.size, classes + config.background, 1)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, self.last.bias))

    @property
    def head(self) -> PixelClassifier:
        """The probe as one layer; batch norm stands as at inference."""
        head = PixelClassifier(self.features.size, self.last.out_channels, self.normalize)
        head.to(self.last.weight.device).load_state_dict(
            {f"conv.{k}": v for k, v in _join(self.first, self.last).items()}
        )
        return head

    def train(self, mode: bool = True) -> Self:
        """Only the head trains: the network's batch statistics and dropout stay as at inference."""
        super().train(mode)
        self.features.eval()
        return self

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the enlarged logits against the masks; ignored pixels do not count."""
        with torch.no_grad():
            features = self.features(batch.views[0])
        target = self._find_targets(batch.maps["pseudolabel"][0].long())  # (B, H, W)
        logits = F.interpolate(
            self._classify(features).float(), target.shape[-2:], mode="bilinear", align_corners=False
        )
        counted = (target != IGNORE).sum().clamp_min(1)
        loss = F.cross_entropy(logits, target, ignore_index=IGNORE, reduction="sum") / counted
        return Losses(loss, {"accuracy": (logits.argmax(1) == target).sum() / counted})

    def _find_targets(self, ids: Tensor) -> Tensor:
        """Channel of each pixel's class; without a background the first class has the first."""
        return ids if self.background else torch.where((ids == 0) | (ids == IGNORE), IGNORE, ids - 1)

    def _classify(self, features: Tensor) -> Tensor:
        inputs = F.normalize(features, dim=1) if self.normalize else features
        logits: Tensor = self.last(self.first(inputs) if self.first else inputs)
        return logits

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.head}


def _first_layer(size: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(size, hidden, 1, bias=False), nn.BatchNorm2d(hidden))


@torch.no_grad()
def _join(first: nn.Sequential | None, last: nn.Conv2d) -> dict[str, Tensor]:
    """Weight and bias of one 1x1 convolution that does what both layers do at inference."""
    assert last.bias is not None
    if first is None:
        return {"weight": last.weight, "bias": last.bias}
    convolution, norm = first
    assert isinstance(convolution, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()  # (hidden,)
    shift = norm.bias - norm.running_mean * scale
    rows = last.weight[:, :, 0, 0]
    joined = (rows * scale) @ convolution.weight[:, :, 0, 0]
    return {"weight": joined[:, :, None, None], "bias": last.bias + rows @ shift}
