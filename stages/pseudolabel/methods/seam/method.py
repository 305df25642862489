"""SEAM's classifier: two sizes of a photograph, a correlation of pixels, and losses that let their maps agree."""

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import stage_channels, stage_maps
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.resizing import average_areas
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import TagTraining, class_layer, classification_loss, multi_hot
from stages.pseudolabel.methods.seam.config import SEAMConfig
from stages.pseudolabel.methods.seam.correlation import (
    PixelCorrelation,
    keep_strongest,
    mark_strongest,
    mean_of_hardest,
    mean_of_weakest,
    normalize_maps,
    with_background,
)


class _Maps(NamedTuple):
    plain: Tensor
    """(B, L, h, w) as the classifier gives them."""
    refined: Tensor
    """(B, 1 + L, h, w) after the correlation of pixels, the background first."""


class EquivariantTraining(TagTraining):
    """What SEAM trains.

    Args:
        config: Its parameters.
        features: The pretrained network, D channels.
        tags: The photographs' categories.
    """

    def __init__(self, config: SEAMConfig, features: FeatureNetwork, tags: Tags) -> None:
        super().__init__(features, tags, config.views)
        self.config = config
        self.dropout = nn.Dropout2d(config.dropout)
        self.classifier = class_layer(features.size, tags.categories)
        channels = stage_channels(features.backbone)
        self.correlation = PixelCorrelation((channels[-3], channels[-2]), config.correlated)

    def activate(self, images: Tensor) -> Tensor:
        """The refined maps; see `TagTraining.activate`."""
        return self._map(images).refined[:, 1:]

    def classify(self, images: Tensor) -> Tensor:
        """The maps before they are refined; see `TagTraining.classify`."""
        maps: Tensor = self.classifier(self.features(images))
        return maps

    def _map(self, images: Tensor) -> _Maps:
        stages = stage_maps(self.features.backbone, images)
        plain = self.classifier(self.dropout(stages[-1]))
        known = with_background(keep_strongest(normalize_maps(plain.detach().float())))
        return _Maps(plain, self.correlation(images, (stages[-3], stages[-2]), known))

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Classification of both sizes, equivariance, and cross regularization with the refined maps."""
        images, tags = batch.views[0], self.tags_of(batch)
        scale = self.config.scale
        small = F.interpolate(images, scale_factor=scale, mode="bilinear", align_corners=True)
        seen = [self._map(images), self._map(small)]
        present = multi_hot(tags, self.categories)[:, :, None, None]
        size = (seen[1].plain.shape[-2], seen[1].plain.shape[-1])
        plain = [average_areas(normalize_maps(each.plain.float()), size) * present for each in seen]
        refined = [_of_present(average_areas(normalize_maps(each.refined), size), present) for each in seen]
        losses = {
            "classification": (classification_loss(seen[0].plain, tags) + classification_loss(seen[1].plain, tags)) / 2,
            "weakest": (self._push(seen[0], present) + self._push(seen[1], present)) / 2,
            "equivariance": (plain[0] - plain[1]).abs().mean(),
            "cross": self._cross(plain[1], refined[0]) + self._cross(plain[0], refined[1]),
        }
        total = losses["classification"] + losses["weakest"] + losses["equivariance"] + losses["cross"]
        return Losses(total, losses)

    def _push(self, maps: _Maps, present: Tensor) -> Tensor:
        """Little activation in the weakest places, of the refined maps of a photograph's own categories."""
        if not self.config.weakest:
            return maps.refined.new_zeros(())
        return mean_of_weakest(maps.refined[:, 1:] * present, self.config.weakest)

    def _cross(self, plain: Tensor, refined: Tensor) -> Tensor:
        """The refined maps of one size and the decisions of the other differ little where they differ most."""
        return mean_of_hardest(mark_strongest(with_background(plain)) - refined, self.config.hardest)


def _of_present(refined: Tensor, present: Tensor) -> Tensor:
    """Maps (B, 1 + L, h, w) of the background and of a photograph's own categories."""
    return refined * F.pad(present, (0, 0, 0, 0, 1, 0), value=1.0)
