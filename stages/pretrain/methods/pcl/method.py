"""PCL: as MoCo, and every photograph is told by the centroids of several clusterings that it belongs to.

Source: Li et al., Prototypical Contrastive Learning of Unsupervised Representations, ICLR 2021; what the paper leaves
open from the authors' code.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine.collapse import embedding_std
from stages.core.engine.contrastive import contrast_rows, draw_others
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.memory import group_use
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.engine.momentum_contrast import MomentumContrast
from stages.core.engine.regrouping import check_group_count, group_by_kmeans
from stages.core.engine.survey import SurveyedMethod
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.heads import GlobalPool
from stages.core.nets.perceptron import Perceptron
from stages.pretrain.methods.pcl.config import PCLConfig

_CAUSES = "temperature is too high, or momentum.value too near to 1 for so few steps"
_DRAW = 3
"""Tells the draw of centroids from the other ones of a seed."""


class Prototypes(nn.Module):
    """One clustering: the cluster of every photograph, the centroids, and how concentrated each cluster is."""

    labels: Tensor
    centroids: Tensor
    spread: Tensor

    def __init__(self, photographs: int, clusters: int, size: int) -> None:
        super().__init__()
        self.register_buffer("labels", torch.zeros(photographs, dtype=torch.long))
        self.register_buffer("centroids", torch.zeros(clusters, size))
        self.register_buffer("spread", torch.ones(clusters))

    def regroup(self, vectors: Tensor, seed: int, config: PCLConfig) -> None:
        """Cluster unit vectors (N, D) on the CPU."""
        labels, centroids = group_by_kmeans(vectors, len(self.centroids), seed)
        distances = (vectors - centroids[labels]).norm(dim=1)
        spread = estimate_spread(distances, labels, len(centroids), config.concentration, config.temperature)
        for own, new in ((self.labels, labels), (self.centroids, F.normalize(centroids, dim=1)), (self.spread, spread)):
            own.copy_(new)


def estimate_spread(
    distances: Tensor, labels: Tensor, clusters: int, concentration: float, temperature: float
) -> Tensor:
    """Temperature (K,) of each cluster: low where its members lie near its centroid.

    Args:
        distances: (N,) of each photograph to its centroid.
        labels: (N,)
        clusters: K
        concentration: Alpha.
        temperature: Mean of the result.

    Source: equation 12; clipped to the 10th to 90th percentile and scaled as in the authors' code, where a cluster of
    one takes the largest.
    """
    sizes = torch.bincount(labels, minlength=clusters)
    means = torch.zeros(clusters).index_add(0, labels, distances) / sizes.clamp(min=1)
    spread = means / torch.log(sizes + concentration)
    spread = torch.where(sizes > 1, spread, torch.where(sizes > 1, spread, 0).max())
    low, high = torch.quantile(spread, torch.tensor([0.1, 0.9]))
    spread = spread.clamp(low, high)
    mean = spread.mean()
    return temperature * spread / mean if mean > 0 else torch.full_like(spread, temperature)


class PCL(SurveyedMethod):
    """Backbone and head, the key network and queue, and several clusterings of the keys of all photographs."""

    prototypes: nn.ModuleList

    def __init__(self, config: PCLConfig) -> None:
        super().__init__()
        self.config, self.views, self.surveyed = config, config.views, config.surveyed
        self.expected = Expectation({"instances": math.log(config.negatives + 1)}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.projector = Perceptron(embedding_size(self.backbone), config.hidden, config.projected, norm=False)
        self.contrast = MomentumContrast(self._encoder, config.projected, config.negatives, config.shuffle_groups)

    def lay_out(self, index: ImageIndex) -> None:
        """A cluster for every photograph in each clustering."""
        check_group_count("pretrain.clusters", max(self.config.clusters), len(index))
        size = self.config.projected
        self.prototypes = nn.ModuleList(Prototypes(len(index), each, size) for each in self.config.clusters)

    def is_due(self, epoch: int) -> bool:
        """Once keys are worth clustering."""
        return epoch >= self.config.warmup_epochs

    def describe(self, batch: Batch) -> Tensor:
        """Keys (B, D), of length 1."""
        return F.normalize(self.contrast.keys(batch.views[0]).float(), dim=1)

    def regroup(self, described: Tensor, epoch: int) -> None:
        """Cluster the keys, in as many ways as there are numbers of clusters."""
        for number, each in enumerate(self._clusterings):
            each.regroup(described, self.config.training.seed + epoch * len(self.prototypes) + number, self.config)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """MoCo's loss, and after the warm-up the mean over the clusterings of telling the own centroid; equation 11."""
        found = self.contrast(self._encoder(batch.views[0]), batch.views[1], self.config.temperature)
        parts = {"instances": found.loss, "accuracy": found.accuracy, "embedding_std": embedding_std(found.queries)}
        if not self.is_due(progress.epoch):
            return Losses(found.loss, parts)
        terms = [self._tell(found.queries, each, batch, progress) for each in self._clusterings]
        parts["prototypes"] = torch.stack(terms).mean()
        first = self._clusterings[0]
        parts["prototype_use"] = group_use(first.labels, len(first.centroids))
        return Losses(found.loss + parts["prototypes"], parts)

    def after_step(self, progress: TrainingProgress) -> None:
        """Let the key network follow."""
        self.contrast.follow(self._encoder, self.config.momentum.at(progress))

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}

    @property
    def _encoder(self) -> nn.Module:
        return nn.Sequential(self.backbone, GlobalPool(), self.projector)

    @property
    def _clusterings(self) -> list[Prototypes]:
        return [each for each in self.prototypes if isinstance(each, Prototypes)]

    def _tell(self, queries: Tensor, clustering: Prototypes, batch: Batch, progress: TrainingProgress) -> Tensor:
        clusters = len(clustering.centroids)
        key = [self.config.training.seed, _DRAW, progress.iteration, clusters]
        others = draw_others(clusters, self.config.negatives, key)
        own = clustering.labels[batch.positions]
        return contrast_rows(queries, clustering.centroids, own, others, clustering.spread)
