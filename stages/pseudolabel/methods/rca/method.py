"""RCA's classifier: two class activation heads, a memory of regions, contrast with it, attention to its centroids."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.distributed import rank
from stages.core.engine.gathering import gather_with_gradient
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.pseudolabel.activation.accumulation import AccumulatedMaps, place_in_frame
from stages.pseudolabel.activation.tags import Tags
from stages.pseudolabel.activation.training import TagTraining, class_layer, classification_loss
from stages.pseudolabel.methods.rca.aggregation import Aggregation, AttentiveAggregation, ParametricAggregation
from stages.pseudolabel.methods.rca.config import AccumulationConfig, ContrastConfig, RCAConfig
from stages.pseudolabel.methods.rca.memory import Centroids, Memory, RegionMemory, TurningMemory
from stages.pseudolabel.methods.rca.regions import compare, contrast, draw_mixing, pool_regions
from stages.pseudolabel.methods.rca.saliency import saliency_loss

_ACCUMULATED = "accumulated.bin"
"""File beside the checkpoints."""
_LEAST = 1e-5
_SALIENCY, _MOST_SALIENT = "saliency", 255


class Told(NamedTuple):
    """What is kept of a step until its gradients have been used."""

    numbers: Tensor
    """(R,) of regions."""
    values: Tensor
    """(R, ...)"""


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
        is_paper = config.variant == "paper"
        self.memory: Memory = (
            RegionMemory(tags.ids, size, config.memory, self.seed)
            if is_paper
            else TurningMemory(tags.categories, size, config.memory)
        )
        self.projection: nn.Module = nn.Identity() if is_paper else _project(size)
        self.coarse = class_layer(size, tags.categories)
        self.aggregation: Aggregation | None = None
        if config.aggregation:
            self.aggregation = AttentiveAggregation(size) if is_paper else ParametricAggregation(size)
            self.centroids = Centroids(tags.categories, config.aggregation.centroids, size)
        has_background = config.saliency_loss is not None
        self.maps = (_SALIENCY,) if has_background else ()
        outputs = self.aggregation.outputs if self.aggregation else size
        self.fine = class_layer(outputs, tags.categories + has_background)
        self._all_tags = tags
        self._seen: Told | None = None
        self._attended: Told | None = None

    def open_files(self, folder: Path) -> None:
        """Open the accumulated maps; see `TagTraining.open_files`."""
        if self.config.accumulation:
            self.accumulated = AccumulatedMaps(self._all_tags, self.config.accumulation.side, folder / _ACCUMULATED)

    def end_training(self) -> None:
        """Drop the memory, an entry for every photograph; see `TagTraining.end_training`."""
        del self.memory

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """As it is, with the accumulated maps on the disk first: no checkpoint is ahead of them."""
        if self.accumulated is not None:
            self.accumulated.flush()
        return super().state_dict(*args, **kwargs)

    def activate(self, images: Tensor) -> Tensor:
        """The second head's maps; with a background, the categories' shares of a pixel. See `TagTraining.activate`."""
        return self._to_maps(self._score(self.features(images)))

    def classify(self, images: Tensor) -> Tensor:
        """The second head's scores; see `TagTraining.classify`."""
        return self._score(self.features(images))[:, : self.categories]

    def _to_maps(self, scores: Tensor) -> Tensor:
        return scores.float().softmax(1)[:, : self.categories] if self.config.saliency_loss else scores

    def _score(self, features: Tensor) -> Tensor:
        """Scores (B, L, h, w), or (B, L + 1, h, w) with those of the background last."""
        if self.aggregation is not None:
            features = self.aggregation(features, self.centroids.found)
        scores: Tensor = self.fine(features)
        return scores

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Equation 11: both heads' classification, the contrast of regions once it has started, and EPS's loss."""
        if self.aggregation is not None and _begins_epoch(progress):
            self.centroids.find(self.memory.known, self.seed)
        tags, features = self.tags_of(batch), self.features(batch.views[0])
        coarse, scores = self.coarse(features), self._score(features)
        fine = scores[:, : self.categories]
        losses = {"coarse": classification_loss(coarse, tags), "classification": classification_loss(fine, tags)}
        total = self.config.coarse_weight * losses["coarse"] + losses["classification"]
        self._remember(batch, self._pool(features, coarse, tags), coarse)
        if (kept := self.config.accumulation) and progress.epoch >= kept.start_epoch:
            self._attend(batch, fine, self._to_maps(scores), kept)
        if learnt := self.config.saliency_loss:
            saliency = batch.maps[_SALIENCY][0].float() / _MOST_SALIENT
            losses["saliency"] = saliency_loss(scores, tags, saliency, learnt)
            total = total + learnt.weight * losses["saliency"]
        settings = self.config.contrast
        if settings and progress.epoch >= settings.start_epoch:
            regions = self._pool(self.projection(features), coarse, tags)
            losses["contrast"] = self._contrast(regions, tags, settings, progress)
            total = total + settings.weight * losses["contrast"]
        return Losses(total, {**losses, "remembered": self.memory.is_set.float().mean()})

    def _pool(self, features: Tensor, coarse: Tensor, tags: Tensor) -> Tensor:
        """The vectors (B, T, D) of the photographs' regions."""
        maps = coarse if self.config.variant == "paper" else coarse.float().softmax(1)
        return pool_regions(features.float(), maps, tags)

    def _remember(self, batch: Batch, regions: Tensor, coarse: Tensor) -> None:
        """Keep what the memory is to be told after the step: regions whose category the network is sure of."""
        tags = self.tags_of(batch)
        places = self.memory.places(batch.positions, tags)
        chosen = (places >= 0) & (probabilities(coarse, tags) > self.memory.config.confidence)
        self._seen = Told(places[chosen], regions.detach()[chosen])

    @torch.no_grad()
    def _attend(self, batch: Batch, fine: Tensor, activated: Tensor, settings: AccumulationConfig) -> None:
        """Keep the maps of likely categories, to be accumulated after the step, each divided by its maximum."""
        assert self.accumulated is not None
        tags, positions = self.tags_of(batch), batch.positions.tolist()
        numbers = torch.from_numpy(self.accumulated.numbers[positions]).to(tags.device)
        chosen = (tags >= 0) & (probabilities(fine, tags) >= settings.confidence)
        rows, columns = chosen.nonzero(as_tuple=True)
        maps = F.relu(activated.float())[rows, tags[rows, columns]]  # (R, h, w)
        maps = maps / maps.amax((1, 2), keepdim=True).clamp_min(_LEAST)
        photos = [self._all_tags.photographs[position] for position in positions]
        sizes = torch.tensor([(photo.height, photo.width) for photo in photos], device=tags.device)
        placed = place_in_frame(maps, batch.windows[rows, 0], sizes[rows], settings.side)
        self._attended = Told(numbers[chosen], placed)

    def _contrast(self, regions: Tensor, tags: Tensor, settings: ContrastConfig, progress: TrainingProgress) -> Tensor:
        """Mean over photographs of the mean over their regions of equation 6, or 4 without mixing."""
        known, own = self.memory.known, tags.flatten()
        flat = regions.flatten(0, 1)  # (B T, D)
        if settings.mixup is None:
            each = contrast(compare(flat, known, settings.temperature), own, known.owners)
        else:
            all_tags, all_regions = gather_with_gradient(tags), gather_with_gradient(regions).flatten(0, 1)
            rng = np.random.default_rng([self.seed, 2, progress.iteration])
            drawn = draw_mixing(all_tags, settings.mixup, rng, self.config.variant == "released")
            here = slice(rank() * len(own), (rank() + 1) * len(own))
            partners, shares = drawn.partners[here], drawn.shares[here]
            mixed = shares[:, None] * flat + (1 - shares[:, None]) * all_regions[partners]
            cosines = compare(mixed, known, settings.temperature)
            each = shares * contrast(cosines, own, known.owners)
            each = each + (1 - shares) * contrast(cosines, all_tags.flatten()[partners], known.owners)
        there = (tags >= 0).float()
        return ((each.view_as(there) * there).sum(1) / there.sum(1)).mean()

    def after_step(self, progress: TrainingProgress) -> None:
        """Tell the memory and the accumulated maps what was seen."""
        if self._seen is not None:
            self.memory.update(*self._seen)
        if self._attended is not None and self.accumulated is not None:
            self.accumulated.add(*self._attended)
        self._seen = self._attended = None


def probabilities(maps: Tensor, tags: Tensor) -> Tensor:
    """(B, T) of the categories that maps (B, L, h, w) and tags (B, T) name; what stands at -1 says nothing."""
    return maps.detach().float().mean((2, 3)).sigmoid().gather(1, tags.clamp_min(0))


def _project(size: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(size, size, 1), nn.BatchNorm2d(size), nn.ReLU(True), nn.Conv2d(size, size, 1))


def _begins_epoch(progress: TrainingProgress) -> bool:
    return progress.iteration % max(progress.iterations // progress.epochs, 1) == 0
