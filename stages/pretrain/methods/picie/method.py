"""PiCIE: pixels learn the clusters of their own view and of another one, whatever its colors and its crop.

Source: Cho et al., PiCIE: Unsupervised Semantic Segmentation Using Invariance and Equivariance in Clustering, CVPR
2021.
Labels of pixels are not stored: the network as it was before the epoch gives them again, on the same views. Centroids
have length 1, and clusters weigh by the inverse of their size as the paper says; its code weighs by the size.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std, prototype_use
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import weighted_mean_over_rows
from stages.core.engine.method import Losses, TrainingProgress
from stages.core.engine.momentum import MomentumCopy
from stages.core.engine.regrouping import check_group_count, group_by_kmeans
from stages.core.engine.survey import SurveyedMethod
from stages.core.images.dataset import Batch
from stages.core.images.paired_pixels import read_pairs
from stages.core.nets.features import build_features
from stages.pretrain.methods.picie.config import PiCIEConfig
from stages.pretrain.multi_crop import map_views

_VIEWS = 2
_CAUSES = "all pixels start out alike: decoder.last_norm: true keeps them apart"


class PiCIE(SurveyedMethod):
    """The network of features, as it learns and as it was before the epoch, and the centroids of each view."""

    centroids: Tensor
    sizes: Tensor

    def __init__(self, config: PiCIEConfig) -> None:
        super().__init__()
        self.config, self.views, self.surveyed = config, config.views, config.views
        self.expected = Expectation({"loss": math.log(config.clusters)}, causes=_CAUSES)
        self.features = build_features(config.backbone, config.decoder, config.weights)
        self.before = MomentumCopy(self.features)
        self.register_buffer("centroids", torch.zeros(_VIEWS, config.clusters, self.features.size))
        self.register_buffer("sizes", torch.ones(_VIEWS, config.clusters))

    def describe(self, batch: Batch) -> Tensor:
        """Unit vectors (B, 2, P, D) of pixels of both views; zeros where these do not overlap."""
        pairs, exists = self._read(self.features, batch, self.config.surveyed_points)
        found = pairs.new_zeros(len(exists), _VIEWS, pairs.shape[2], self.features.size)
        found[exists] = pairs.transpose(0, 1)
        return found

    def regroup(self, described: Tensor, epoch: int) -> None:
        """Cluster the pixels of each view, and keep the network as it is now."""
        for view in range(_VIEWS):
            pixels = described[:, view].flatten(0, 1)
            pixels = pixels[(pixels != 0).any(1)] if pixels.any() else pixels
            check_group_count("pretrain.clusters", self.config.clusters, len(pixels))
            groups, centroids = group_by_kmeans(pixels, self.config.clusters, self.config.training.seed + epoch)
            self.centroids[view] = F.normalize(centroids, dim=1)
            self.sizes[view] = torch.bincount(groups, minlength=self.config.clusters).float()
        self.before.update(self.features, 0.0)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Cross-entropy of each view's pixels with the clusters of both, means over all four; equations 4 to 6."""
        self.before.network.eval()
        with torch.no_grad():
            earlier, _ = self._read(self.before, batch, self.config.points)
        now, _ = self._read(self.features, batch, self.config.points)
        terms = []
        for view in range(_VIEWS):
            labels = self._score(earlier[view], view).argmax(1)
            weights = 1 / self.sizes[view].clamp(min=1)
            for pixels in now:
                losses = F.cross_entropy(self._score(pixels, view), labels, reduction="none")
                terms.append(weighted_mean_over_rows(losses, weights[labels]))
        parts = {
            "embedding_std": embedding_std(now[0].flatten(0, 1)),
            "prototype_use": prototype_use(F.normalize(self.sizes, p=1, dim=1)[:1]),
        }
        return Losses(torch.stack(terms).mean(), parts)

    def export(self) -> dict[str, nn.Module]:
        """Backbone and decoder."""
        return self.features.parts

    def _read(self, network: nn.Module, batch: Batch, side: int) -> tuple[Tensor, Tensor]:
        """Unit vectors (2, P, G G, D) of the pixels at the same places of both views, and which (B,) photographs."""
        pairs, exists = read_pairs(map_views(network, batch.views), batch.windows, side)
        return F.normalize(pairs, dim=2).flatten(3).transpose(2, 3), exists

    def _score(self, pixels: Tensor, view: int) -> Tensor:
        """Minus the squared distances, but for a constant, of pixels (P, G G, D) and a view's centroids: (P G G, K)."""
        with torch.autocast(pixels.device.type, enabled=False):
            return 2 * pixels.float().flatten(0, 1) @ self.centroids[view].T
