"""DeepCluster: before each epoch photographs are clustered by their features, and the clusters learnt as classes.

Source: Caron et al., Deep Clustering for Unsupervised Learning of Visual Features, ECCV 2018; an empty cluster takes
half of the largest one here.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.image_index import ImageIndex
from stages.core.engine.collapse import embedding_std
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import mean_over_rows
from stages.core.engine.memory import group_use
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.engine.regrouping import check_group_count, group_by_kmeans
from stages.core.engine.survey import SurveyedMethod
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.whitening import whiten
from stages.pretrain.methods.deepcluster.config import DeepClusterConfig

_CAUSES = "there are too many clusters for so few photographs or epochs: each epoch numbers them anew"
_FIRST_STD = 0.01
"""Of a new classifier's weights. The authors' code."""


class DeepCluster(SurveyedMethod):
    """Backbone, a classifier of clusters that every epoch starts anew, and the cluster of every photograph."""

    without_momentum = ("classifier",)
    labels: Tensor

    def __init__(self, config: DeepClusterConfig) -> None:
        super().__init__()
        self.config, self.views, self.surveyed = config, config.views, config.surveyed
        self.expected = Expectation({"loss": math.log(config.clusters)}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        self.classifier = nn.Linear(embedding_size(self.backbone), config.clusters)

    def lay_out(self, index: ImageIndex) -> None:
        """A cluster for every photograph."""
        check_group_count("pretrain.clusters", self.config.clusters, len(index))
        self.register_buffer("labels", torch.zeros(len(index), dtype=torch.long))

    @property
    def sampled_by(self) -> Tensor:
        """Every cluster is shown equally often. Section 3.3 (trivial parametrization)."""
        return self.labels

    def describe(self, batch: Batch) -> Tensor:
        """Pooled features (B, L)."""
        pooled: Tensor = self.backbone(batch.views[0]).mean((2, 3))
        return pooled

    def regroup(self, described: Tensor, epoch: int) -> None:
        """Cluster the whitened features, and start the classifier anew."""
        seed = self.config.training.seed + epoch
        whitened = whiten(described.numpy(), self.config.components, "pretrain.components")
        rows = F.normalize(torch.from_numpy(whitened).float(), dim=1)
        self.labels.copy_(group_by_kmeans(rows, self.config.clusters, seed)[0])
        first = torch.randn(self.classifier.weight.shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            self.classifier.weight.copy_(_FIRST_STD * first)
            self.classifier.bias.zero_()

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of each photograph's cluster."""
        pooled = self.backbone(batch.views[0]).mean((2, 3))
        logits, labels = self.classifier(pooled).float(), self.labels[batch.positions]
        parts = {
            "accuracy": mean_over_rows((logits.argmax(1) == labels).float()),
            "embedding_std": embedding_std(F.normalize(pooled.float(), dim=1)),
            "prototype_use": group_use(self.labels, self.config.clusters),
        }
        return Losses(F.cross_entropy(logits, labels), parts)

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}
