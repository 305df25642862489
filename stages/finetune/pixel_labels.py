"""Trains a pixel classifier on label maps, whether these come from clusters or from people."""

from collections.abc import Sequence
from typing import NamedTuple, Self

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.config.views import MultiCropConfig
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.resizing import enlarge
from stages.finetune.pixel_loss import classify_pixels, count_labelled
from stages.finetune.training import SegmenterTraining


class LabelSize(NamedTuple):
    """The size at which logits and labels are compared."""

    share: float
    """Of the view's side."""
    by_doubling: bool = False
    """Whether logits are enlarged to it by doubling their own, and not at once."""


def norms_of(network: nn.Module) -> list[nn.Module]:
    """Its layers of batch norm."""
    return [each for each in network.modules() if isinstance(each, _BatchNorm)]


class PixelLabelClassifier(SegmenterTraining):
    """Network of features and 1x1 convolution; background is the first class.

    Args:
        features: The pretrained network.
        classes: Without the background.
        views: What is seen of a photograph.
        label_size: At which logits and labels are compared.
        frozen: Parts of the network that stay as they were pretrained, the statistics of their batch norm too.
    """

    maps = ("pseudolabel",)

    def __init__(
        self,
        features: FeatureNetwork,
        classes: int,
        views: MultiCropConfig,
        label_size: LabelSize,
        frozen: Sequence[nn.Module] = (),
    ) -> None:
        super().__init__()
        self.views, self.label_size = views, label_size
        self.features = features
        self.head = PixelClassifier(features.size, classes + 1)
        self.frozen = list(frozen)
        for part in self.frozen:
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Frozen parts stay as at inference."""
        super().train(mode)
        for part in self.frozen:
            part.eval()
        return self

    @property
    def classifier(self) -> PixelClassifier:
        """The head."""
        return self.head

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of the enlarged logits against the pixels' labels; ignored pixels do not count."""
        target = self._find_targets(batch)
        side = target.shape[-1]
        logits = self.head(self.features(batch.views[0])).float()  # (B, K + 1, h, w)
        while self.label_size.by_doubling and 2 * logits.shape[-1] < side:
            logits = enlarge(logits, (2 * logits.shape[-2], 2 * logits.shape[-1]))
        return classify_pixels(enlarge(logits, (side, side)), target)

    def weigh(self, batch: Batch) -> Tensor:
        """Pixels that are not ignored; see `TrainingMethod.weigh`."""
        return count_labelled(self._find_targets(batch))

    def _find_targets(self, batch: Batch) -> Tensor:
        """Labels (B, side, side) at the size that is compared."""
        side = max(round(batch.views[0].shape[-1] * self.label_size.share), 1)
        labels = batch.maps["pseudolabel"][0][:, None].float()
        return F.interpolate(labels, (side, side), mode="nearest")[:, 0].long()

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder where there is one, and head."""
        return {**self.features.parts, "head": self.head}
