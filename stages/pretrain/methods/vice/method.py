"""ViCE: dense embeddings, learnt by predicting a region's prototype from other views of it.

Source: Karlsson et al., ViCE: Improving Dense Representation Learning by Superpixelization and Contrasting Cluster
Assignment, BMVC 2022; what the paper leaves open, from its code at revision 96d328b.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std, mean_entropy, prototype_use
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import mean_over_rows, weighted_mean_over_rows
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.online_clustering import Queue, sinkhorn
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.core.nets.features import build_features
from stages.core.nets.heads import Prototypes
from stages.core.nets.regions import region_means
from stages.pretrain.methods.vice.common_regions import CommonRegions, pixel_regions
from stages.pretrain.methods.vice.config import VICEConfig

_CAUSES = (
    "there are too many prototypes for so few regions, temperature is too low, or decoder.last_norm: true is needed, "
    "as it is from random weights"
)


class VICE(TrainingMethod):
    """Network, prototypes and queue."""

    def __init__(self, config: VICEConfig) -> None:
        super().__init__()
        self.config = config
        self.views = config.views
        self.expected = Expectation({"clustering": config.chance}, config.freeze_prototypes, _CAUSES)
        self.maps = ("superpixels",) if config.regions == "superpixels" else ()
        self.features = build_features(config.backbone, config.decoder, config.weights)
        self.prototypes = Prototypes(self.features.size, config.prototypes, config.freeze_prototypes)
        self.queue = Queue(1, config.queue, self.features.size)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Codes of the regions of the first view, predicted from every other view."""
        regions = CommonRegions(self._find_regions(batch))
        views = regions.hide(batch.views, self.config.masking) if self.config.masking else batch.views
        numbers, photographs = regions.number()
        maps = self.features(torch.cat(views)).chunk(len(views))
        if not len(photographs):
            raise UserError("pretrain: no region of a whole batch is seen in all of its views; take larger superpixels")
        self.prototypes.normalize()
        z, spreads = zip(*map(self._describe, maps, numbers, [len(photographs)] * len(maps)), strict=True)
        scores = [self.prototypes(each) for each in z]  # V x (R, P)
        codes = self._assign(z[0].detach(), scores[0].detach(), progress)
        clustering = self._predict(scores[1:], codes, photographs)
        parts = {
            "clustering": clustering,
            "regions": torch.tensor(float(len(photographs))),
            "code_entropy": mean_entropy(codes),
            "prototype_use": prototype_use((scores[0] / self.config.temperature).softmax(1)),
            "embedding_std": embedding_std(z[0]),
        }
        if self.config.vector == "mean":
            return Losses(clustering, parts)
        parts["coherence"] = _average_photographs(torch.stack(spreads).mean(0), photographs)
        return Losses((clustering + parts["coherence"]) / 2, parts)

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder and prototypes."""
        return {**self.features.parts, "prototypes": self.prototypes}

    def _find_regions(self, batch: Batch) -> list[Tensor]:
        if self.config.regions == "superpixels":
            return batch.maps["superpixels"]
        return pixel_regions(batch.windows.to(batch.views[0].device), self.config.views.size)

    def _describe(self, features: Tensor, regions: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Unit vectors (R, D) of the regions of one view, and how far (R,) their pixels are from them on average.

        The map is enlarged with aligned corners, as in the code. With `mean` vectors the distances are not used: zeros.
        """
        if self.config.vector == "mean":
            means = region_means(features, regions, count, align_corners=True)
            return F.normalize(means, dim=1), means.new_zeros(count)
        enlarged = F.interpolate(features.float(), regions.shape[1:], mode="bilinear", align_corners=True)
        pixels = F.normalize(enlarged.permute(0, 2, 3, 1)[regions >= 0], dim=1)  # (N, D)
        region = regions[regions >= 0]
        chosen = pixels[_place_of_highest(self.prototypes(pixels.detach()).amax(1), region, count)]
        # The others are drawn to the chosen one, not it to them.
        distances = (pixels - chosen.detach()[region]).square().sum(1).clamp_min(1e-12).sqrt()
        shares = distances / torch.bincount(region, minlength=count)[region]
        return chosen, shares.new_zeros(count).index_add(0, region, shares)

    def _assign(self, z: Tensor, scores: Tensor, progress: TrainingProgress) -> Tensor:
        """Codes (R, P) of the first view; the queue takes part and is filled afterwards."""
        if not progress.has_reached(self.config.queue_start_epoch, self.config.queue_start_iteration):
            return sinkhorn(scores, self.config.epsilon)
        earlier = self.prototypes(self.queue.written(0)).detach()
        codes = sinkhorn(torch.cat([earlier, scores]), self.config.epsilon)[len(earlier) :]
        self.queue.push(0, z)
        return codes

    def _predict(self, scores: list[Tensor], codes: Tensor, photographs: Tensor) -> Tensor:
        """Cross-entropy of the codes and the other views' predictions, equation 3."""
        predictions = torch.stack([F.log_softmax(each / self.config.temperature, dim=1) for each in scores])
        losses = -(codes * predictions).sum(2).mean(0)  # (R,)
        if self.config.average == "regions":
            return mean_over_rows(losses)
        return _average_photographs(losses, photographs)


def _average_photographs(values: Tensor, photographs: Tensor) -> Tensor:
    """The mean of regions' values (R,) in which every photograph that has regions weighs the same."""
    return weighted_mean_over_rows(values, 1 / torch.bincount(photographs)[photographs])


def _place_of_highest(values: Tensor, region: Tensor, count: int) -> Tensor:
    """The place (R,) of each region's highest value, the first of equal ones."""
    highest = values.new_full((count,), -torch.inf).scatter_reduce(0, region, values, "amax")
    places = torch.arange(len(values), device=values.device)
    candidates = torch.where(values == highest[region], places, len(values))
    return places.new_full((count,), len(values)).scatter_reduce(0, region, candidates, "amin")
