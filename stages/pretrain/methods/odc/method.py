"""ODC: photographs and centroids move a little at every step, and the clusters are learnt as classes meanwhile.

Source: Zhan et al., Online Deep Clustering for Unsupervised Representation Learning, CVPR 2020; the neck from
OpenSelfSup.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine.collapse import embedding_std
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import gather, weighted_mean_over_rows
from stages.core.engine.memory import Memory, group_use
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.engine.regrouping import average_groups, check_group_count, group_by_kmeans, refill
from stages.core.engine.survey import SurveyedMethod
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.pretrain.methods.odc.config import ODCConfig

_CAUSES = "there are too many clusters for so few photographs, or smallest is too large for them"


class ODC(SurveyedMethod):
    """Backbone, neck and classifier; the memory of photographs, their clusters, and the centroids."""

    without_momentum = ("classifier",)
    memory: Memory
    labels: Tensor
    centroids: Tensor

    def __init__(self, config: ODCConfig) -> None:
        super().__init__()
        self.config, self.views, self.surveyed = config, config.views, config.surveyed
        self.expected = Expectation({"loss": math.log(config.clusters)}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.neck = nn.Sequential(
            nn.Linear(embedding_size(self.backbone), config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, config.projected),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(config.projected, config.clusters)
        self.register_buffer("centroids", torch.zeros(config.clusters, config.projected))

    def lay_out(self, index: ImageIndex) -> None:
        """A row and a cluster for every photograph."""
        check_group_count("pretrain.clusters", self.config.clusters, len(index))
        self.memory = Memory(len(index), self.config.projected, self.config.kept)
        self.register_buffer("labels", torch.zeros(len(index), dtype=torch.long))

    def is_due(self, epoch: int) -> bool:
        """Photographs are clustered all at once at the start alone."""
        return epoch == 0

    def describe(self, batch: Batch) -> Tensor:
        """Unit vectors (B, D)."""
        return F.normalize(self._embed(batch), dim=1)

    def regroup(self, described: Tensor, epoch: int) -> None:
        """Fill the memory, and cluster it."""
        self.memory.fill(described)
        labels, centroids = group_by_kmeans(
            described, self.config.clusters, self.config.training.seed, self.config.smallest
        )
        self.labels.copy_(labels)
        self.centroids.copy_(centroids)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of each photograph's cluster, small ones weighing more; then what is remembered moves."""
        embedded = self._embed(batch)
        labels = self.labels[batch.positions]
        losses = F.cross_entropy(self.classifier(embedded).float(), labels, reduction="none")
        sizes = torch.bincount(self.labels, minlength=self.config.clusters).clamp(min=1).float()
        loss = weighted_mean_over_rows(losses, sizes.pow(-0.5)[labels])
        z = F.normalize(embedded.detach(), dim=1)
        moved = self._remember(batch.positions, z)
        if (progress.iteration + 1) % self.config.refresh == 0:
            self._refresh(progress.iteration)
        parts = {"moved": moved, "embedding_std": embedding_std(z)}
        return Losses(loss, parts | {"prototype_use": group_use(self.labels, self.config.clusters)})

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}

    def _embed(self, batch: Batch) -> Tensor:
        embedded: Tensor = self.neck(self.backbone(batch.views[0]).mean((2, 3)))
        return embedded.float()

    @torch.no_grad()
    def _remember(self, positions: Tensor, z: Tensor) -> Tensor:
        """Move the rows of a batch and give each to its nearest centroid; the share that another cluster has now."""
        self.memory.update(positions, z)
        positions = gather(positions)
        nearest = torch.cdist(self.memory.rows[positions], self.centroids).argmin(1)
        moved = (nearest != self.labels[positions]).float().mean()
        self.labels[positions] = nearest
        return moved

    @torch.no_grad()
    def _refresh(self, iteration: int) -> None:
        """Divide the largest clusters for those that are too small, and take the means as centroids."""
        rows, labels = self.memory.rows.cpu(), self.labels.cpu()
        filled = torch.from_numpy(
            refill(rows.numpy(), labels.numpy(), self.config.clusters, self.config.smallest, iteration)
        )
        self.labels.copy_(filled)
        self.centroids.copy_(average_groups(rows, filled, self.centroids.cpu()))
