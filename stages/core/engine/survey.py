"""Looks at all photographs between two epochs, for methods that sort them anew and then learn how they are sorted."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from stages.core.artifacts.image_index import ImageIndex
from stages.core.config.views import ViewConfig
from stages.core.engine.distributed import broadcast, gather, rank, world_size
from stages.core.engine.method import TrainingMethod
from stages.core.images.dataset import (
    Batch,
    EpochBatches,
    ViewDataset,
    augment_batch,
    load_batches,
    steps_per_epoch,
)
from stages.core.images.loading import Batches
from stages.core.progress import Progress

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_BATCH = 64
_SETTLING_BATCH, _SETTLING = 128, 32
"""Photographs of a batch, in all processes, and batches at most, that the first statistics of batch norms come from."""


class SurveyedMethod(TrainingMethod):
    """A method that looks at all photographs before epochs, and keeps in buffers what it made of them."""

    surveyed: ViewConfig
    """What is seen of a photograph; drawn by seed, epoch and photograph, so that the views of training come again."""

    def is_due(self, epoch: int) -> bool:
        """Whether there is a survey before an epoch, counted from 0; by default before each."""
        return True

    @abstractmethod
    def describe(self, batch: Batch) -> Tensor:
        """What the survey keeps of each photograph, (B, ...); called in evaluation mode, without gradient."""

    @abstractmethod
    def regroup(self, described: Tensor, epoch: int) -> None:
        """Sort the photographs anew; called in the first process, whose parameters and buffers the others then take.

        Args:
            described: (N, ...) of all photographs, in the index's order, on the CPU.
            epoch: That begins, from 0; whatever is drawn is drawn by it.
        """

    @property
    def sampled_by(self) -> Tensor | None:
        """Groups (N,) that an epoch shows equally often; None where it shows every photograph once."""
        return None


def survey(method: SurveyedMethod, index: ImageIndex, epoch: int, seed: int, fabric: "Fabric | None" = None) -> None:
    """Describe all photographs, each process its share, and let the method sort them.

    Before a network's first step its batch norms are given statistics: with those that they are made with (mean 0,
    variance 1) the photographs would be sorted by another network than the one that is then trained.

    All that comes of it lies in the method's state: a run that is ended meanwhile does it again.
    """
    dataset = ViewDataset(index, method.surveyed, method.open_maps(), seed)
    method.eval()
    _settle_norms(method, dataset, seed, fabric)
    own = np.array_split(np.arange(len(index)), world_size())[rank()].tolist()
    keys = [(epoch, position) for position in own]
    batches = [keys[start : start + _BATCH] for start in range(0, len(keys), _BATCH)]
    with Progress(len(own), f"survey before epoch {epoch + 1}", is_shown=rank() == 0) as progress:
        kept = []
        for described in _describe(method, dataset, batches, fabric):
            kept.append(described)
            progress.update(sum(map(len, kept)))
    described = gather(torch.cat(kept))
    method.train()
    if rank() == 0:
        method.regroup(described, epoch)
    if world_size() > 1:
        for value in method.state_dict().values():
            broadcast(value)


@torch.no_grad()
def _describe(
    method: SurveyedMethod, dataset: ViewDataset, batches: Batches, fabric: "Fabric | None"
) -> Iterator[Tensor]:
    device = fabric.device if fabric else torch.device("cpu")
    for raw in load_batches(dataset, batches, device):
        batch = augment_batch(raw, method.surveyed, device)
        with fabric.autocast() if fabric else torch.autocast("cpu", enabled=False):
            described = method.describe(batch)
        yield described.float().cpu()


def _settle_norms(method: SurveyedMethod, dataset: ViewDataset, seed: int, fabric: "Fabric | None") -> None:
    """Give batch norms that nothing has passed yet the mean statistics of batches of photographs."""
    fresh = [each for each in method.modules() if isinstance(each, _BatchNorm) and _is_fresh(each)]
    if not fresh:
        return
    momenta = [norm.momentum for norm in fresh]
    for norm in fresh:
        norm.train().momentum = None  # All batches count alike.
    steps = range(min(steps_per_epoch(len(dataset), _SETTLING_BATCH), _SETTLING))
    batches = EpochBatches(len(dataset), _SETTLING_BATCH, seed, steps).shared(rank(), world_size())
    for _ in _describe(method, dataset, batches, fabric):
        pass
    for norm, momentum in zip(fresh, momenta, strict=True):
        norm.eval().momentum = momentum


def _is_fresh(norm: _BatchNorm) -> bool:
    return norm.num_batches_tracked is not None and not norm.num_batches_tracked
