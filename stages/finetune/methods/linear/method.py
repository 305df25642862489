"""Linear probe: a 1x1 convolution on the frozen network, trained on true masks.

Source: MaskContrast, section 4.1 (protocol I); values from its code.
"""

from typing import Self, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.label_maps import IGNORE
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.resizing import enlarge
from stages.finetune.methods.linear.config import LinearProbeConfig
from stages.finetune.pixel_loss import classify_pixels, count_labelled
from stages.finetune.training import SegmenterTraining


class LinearProbe(SegmenterTraining):
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
    def classifier(self) -> PixelClassifier:
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
        logits = enlarge(self._classify(features).float(), (target.shape[1], target.shape[2]))
        return classify_pixels(logits, target)

    def weigh(self, batch: Batch) -> Tensor:
        """Pixels that are not ignored; see `TrainingMethod.weigh`."""
        return count_labelled(self._find_targets(batch.maps["pseudolabel"][0].long()))

    def _find_targets(self, ids: Tensor) -> Tensor:
        """Channel of each pixel's class; without a background the first class has the first."""
        return ids if self.background else torch.where((ids == 0) | (ids == IGNORE), IGNORE, ids - 1)

    def _classify(self, features: Tensor) -> Tensor:
        inputs = F.normalize(features, dim=1) if self.normalize else features
        logits: Tensor = self.last(self.first(inputs) if self.first else inputs)
        return logits

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.classifier}


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
