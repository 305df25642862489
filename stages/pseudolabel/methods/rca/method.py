"""RCA's classifier: two class activation heads, a memory of regions, contrast with it, attention to its centroids."""

import numpy as np
from torch import Tensor

from stages.core.engine.distributed import rank
from stages.core.engine.gathering import gather_with_gradient
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import TagTraining, class_layer, classification_loss
from stages.pseudolabel.methods.rca.aggregation import Aggregation, AttentiveAggregation, ParametricAggregation
from stages.pseudolabel.methods.rca.config import ContrastConfig, RCAConfig
from stages.pseudolabel.methods.rca.memory import Centroids, RegionMemory
from stages.pseudolabel.methods.rca.regions import contrast, draw_mixing, pool_regions


class RegionalContrastTraining(TagTraining):
    """What RCA trains.

    Args:
        config: Its parameters.
        features: The pretrained network, D channels.
        tags: The photographs' categories.
    """

    def __init__(self, config: RCAConfig, features: FeatureNetwork, tags: Tags) -> None:
        super().__init__(features, tags, config.views)
        size, self.config, self.seed = features.size, config, config.training.seed
        self.memory = RegionMemory(tags.ids, size, config.memory, self.seed)
        self.coarse = class_layer(size, tags.categories)
        self.aggregation: Aggregation | None = None
        if config.aggregation:
            is_plain = config.aggregation.form == "attention"
            self.aggregation = AttentiveAggregation(size) if is_plain else ParametricAggregation(size)
            self.centroids = Centroids(tags.categories, config.aggregation.centroids, size)
        self.fine = class_layer(self.aggregation.outputs if self.aggregation else size, tags.categories)
        self._seen: tuple[Tensor, Tensor] | None = None

    def activate(self, images: Tensor) -> Tensor:
        """The second head's maps; see `TagTraining.activate`."""
        return self._activate(self.features(images))

    def _activate(self, features: Tensor) -> Tensor:
        if self.aggregation is not None:
            features = self.aggregation(features, self.centroids.found)
        maps: Tensor = self.fine(features)
        return maps

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Equation 11: both heads' classification, and the contrast of regions once it has started."""
        if self.aggregation is not None and _begins_epoch(progress):
            self.centroids.find(self.memory.known, self.seed)
        tags, features = self.tags_of(batch), self.features(batch.views[0])
        coarse = self.coarse(features)
        losses = {
            "coarse": classification_loss(coarse, tags),
            "classification": classification_loss(self._activate(features), tags),
        }
        total = self.config.coarse_weight * losses["coarse"] + losses["classification"]
        regions = pool_regions(features.float(), coarse, tags)  # (B, T, D)
        self._remember(batch, regions, coarse)
        settings = self.config.contrast
        if settings and progress.epoch >= settings.start_epoch:
            losses["contrast"] = self._contrast(regions, tags, settings, progress)
            total = total + settings.weight * losses["contrast"]
        return Losses(total, {**losses, "remembered": self.memory.is_set.float().mean()})

    def _remember(self, batch: Batch, regions: Tensor, coarse: Tensor) -> None:
        """Keep what the memory is to be told after the step: regions whose category the network is sure of."""
        tags, numbers = self.tags_of(batch), self.memory.numbers[batch.positions]
        probabilities = coarse.detach().float().mean((2, 3)).sigmoid().gather(1, tags.clamp_min(0))
        chosen = (numbers >= 0) & (probabilities > self.memory.config.confidence)
        self._seen = numbers[chosen], regions.detach()[chosen]

    def _contrast(self, regions: Tensor, tags: Tensor, settings: ContrastConfig, progress: TrainingProgress) -> Tensor:
        """Mean over photographs of the mean over their regions of equation 6, or 4 without mixing."""
        known, own = self.memory.known, tags.flatten()
        flat = regions.flatten(0, 1)  # (B T, D)
        if settings.mixup is None:
            each = contrast(flat, own, known, settings.temperature)
        else:
            all_tags, all_regions = gather_with_gradient(tags), gather_with_gradient(regions).flatten(0, 1)
            rng = np.random.default_rng([self.seed, 2, progress.iteration])
            drawn = draw_mixing(all_tags, settings.mixup, rng)
            here = slice(rank() * len(own), (rank() + 1) * len(own))
            partners, shares = drawn.partners[here], drawn.shares[here]
            mixed = shares[:, None] * flat + (1 - shares[:, None]) * all_regions[partners]
            each = shares * contrast(mixed, own, known, settings.temperature)
            others = all_tags.flatten()[partners]
            each = each + (1 - shares) * contrast(mixed, others, known, settings.temperature)
        there = (tags >= 0).float()
        return ((each.view_as(there) * there).sum(1) / there.sum(1)).mean()

    def after_step(self, progress: TrainingProgress) -> None:
        """Tell the memory what was seen."""
        if self._seen is not None:
            self.memory.update(*self._seen)
            self._seen = None


def _begins_epoch(progress: TrainingProgress) -> bool:
    return progress.iteration % max(progress.iterations // progress.epochs, 1) == 0
