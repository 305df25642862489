"""The abstract class of training methods, and what the training loop passes to it."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.config.views import CoverageConfig, ViewConfig
from stages.core.engine.diagnosis import Expectation
from stages.core.images.dataset import Batch, TravellingMaps
from stages.core.nets.heads import Prototypes


class TrainingProgress(NamedTuple):
    """Current iteration and epoch of a training."""

    iteration: int
    """From 0."""
    iterations: int
    epoch: int
    """From 0."""
    epochs: int

    def has_reached(self, epoch: int, iteration: int) -> bool:
        """Whether an epoch and an iteration, both counted from 0, have begun."""
        return self.epoch >= epoch and self.iteration >= iteration


@dataclass
class Losses:
    """Losses of a training step: the total that is minimized, and its parts for the history."""

    total: Tensor
    """The scalar that is minimized."""
    parts: dict[str, Tensor] = field(default_factory=dict)
    """Named scalars for the history: terms of the loss, entropies, accuracies. `embedding_std` and `prototype_use`
    (`stages.core.engine.collapse`) are watched: a training that collapses is ended."""


class TrainingMethod(nn.Module, ABC):
    """A method that the loop can train. All its state lives in parameters and buffers."""

    views: ViewConfig
    """Views that the loader makes of each photograph."""
    maps: tuple[str, ...] = ()
    """Stages whose label maps travel with the views."""
    coverage: CoverageConfig | None = None
    """How much of every view must be salient; wants `saliency` among the maps."""

    without_momentum: tuple[str, ...] = ()
    """Beginnings of parameters' names that the optimizer moves without momentum, as a classifier of changing groups."""

    expected = Expectation()
    """What columns of the history (`loss`, or a part of it) are while nothing has been learnt, such as ln P; a training
    that stays there is ended."""

    def select_photos(self, index: ImageIndex) -> ImageIndex:
        """The photographs that the method can learn from; by default all.

        Raises:
            UserError: There is none.
        """
        return index

    def open_maps(self) -> dict[str, TravellingMaps]:
        """The maps that travel with the views, by name; by default the label maps of the stages `maps`.

        Raises:
            UserError: One is missing, broken or of another version.
        """
        return {name: open_label_maps(name) for name in self.maps}

    def lay_out(self, index: ImageIndex) -> None:
        """Called once before training, with its photographs: what has a row for each of them is made here.

        Raises:
            UserError: There are too few of them.
        """

    @abstractmethod
    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """The losses of a batch."""

    def weigh(self, batch: Batch) -> Tensor:
        """What the loss of a batch is divided by, being a mean; by default its photographs.

        Called where a step is computed in several passes, for each of them.
        """
        return batch.positions.new_tensor(len(batch.positions), dtype=torch.float)

    def after_gradients(self, progress: TrainingProgress) -> None:
        """Called between the backward pass and the optimizer; prototypes that are still frozen drop their gradient."""
        for module in self.modules():
            if isinstance(module, Prototypes):
                module.drop_frozen_gradient(progress.iteration)

    def after_step(self, progress: TrainingProgress) -> None:
        """Called after the optimizer: teacher, queue, prototypes."""

    @abstractmethod
    def export(self) -> dict[str, nn.Module]:
        """The modules that the artifact stores, by part."""
