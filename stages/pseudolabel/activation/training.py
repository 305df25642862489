"""What trainings of classifiers on tags have in common."""

from abc import abstractmethod
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.views import ViewConfig
from stages.core.engine.method import TrainingMethod
from stages.core.images.dataset import Batch
from stages.core.nets.features import FeatureNetwork
from stages.pseudolabel.activation.accumulation import AccumulatedMaps
from stages.pseudolabel.activation.tags import Tags

Float32 = npt.NDArray[np.float32]
Int64 = npt.NDArray[np.int64]


class TagTraining(TrainingMethod):
    """A classifier of photographs whose last maps say where their categories are.

    Args:
        features: The pretrained network.
        tags: The photographs' categories.
        views: What is seen of a photograph.
    """

    def __init__(self, features: FeatureNetwork, tags: Tags, views: ViewConfig) -> None:
        super().__init__()
        self.accumulated: AccumulatedMaps | None = None
        """Maps that training gathers, which labels are then made of; None where `activate` gives them."""
        self.views, self.categories = views, tags.categories
        self.features = features
        # Parameters and inputs decide it: no checkpoint needs to hold it.
        self.tags = nn.Buffer(torch.from_numpy(tags.ids), persistent=False)

    @abstractmethod
    def activate(self, images: Tensor) -> Tensor:
        """Class activation maps (B, L, h, w) of images (B, 3, H, W)."""

    def classify(self, images: Tensor) -> Tensor:
        """The maps (B, L, h, w) whose means are the categories' scores, with their gradient; by default `activate`."""
        return self.activate(images)

    def end_training(self) -> None:
        """Called before a trained classifier is stored: what only `step` reads is dropped here."""

    def open_files(self, folder: Path) -> None:
        """Called in every process before training, with the folder of its checkpoints: what lies in files there."""

    def tags_of(self, batch: Batch) -> Tensor:
        """The categories (B, T) of a batch's photographs; -1 where one has fewer than T."""
        return self.tags[batch.positions]

    def export(self) -> dict[str, nn.Module]:
        """The network of features; the classifier is not kept, its labels are."""
        return self.features.parts


class GroupTraining(TagTraining):
    """One whose rounds learn groups of photographs, which are sought before each."""

    @abstractmethod
    def regroup(self, vectors: Float32) -> Int64:
        """Groups of the photographs to learn, of their mean features (N, D)."""

    @abstractmethod
    def take_groups(self, groups: Int64) -> None:
        """Learn groups that `regroup` has found."""


def multi_hot(tags: Tensor, categories: int) -> Tensor:
    """Tags (B, T), -1 for none, as ones in (B, L)."""
    hot = torch.zeros(len(tags), categories + 1, device=tags.device)
    return hot.scatter_(1, torch.where(tags < 0, categories, tags), 1.0)[:, :categories]


def classification_loss(maps: Tensor, tags: Tensor) -> Tensor:
    """Multi-label soft-margin loss of maps (B, L, h, w), averaged over their places, against tags (B, T)."""
    return F.multilabel_soft_margin_loss(maps.float().mean((2, 3)), multi_hot(tags, maps.shape[1]))


def class_layer(channels: int, categories: int) -> nn.Conv2d:
    """A 1x1 convolution to a map per category; without a bias, so that what adds to a score is above 0."""
    layer = nn.Conv2d(channels, categories, 1, bias=False)
    nn.init.xavier_uniform_(layer.weight)
    return layer
