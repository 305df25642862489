"""ViCE: dense embeddings, learnt by predicting a region's prototype from other views of it.

Source: Karlsson et al., ViCE: Improving Dense Representation Learning by Superpixelization and Contrasting Cluster
Assignment, BMVC 2022; what the paper leaves open, from its code at revision 96d328b.
"""

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std, mean_entropy, prototype_use
from stages.core.engine.loop import TrainingConfig
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.online_clustering import Queue, sinkhorn
from stages.core.engine.optim import OptimizerConfig
from stages.core.errors import UserError
from stages.core.images.dataset import Batch
from stages.core.images.sector_views import SectorViewConfig
from stages.core.nets.backbones import BackboneConfig
from stages.core.nets.decoders import DecoderConfig, FPNConfig
from stages.core.nets.features import build_features
from stages.core.nets.heads import Prototypes
from stages.core.nets.regions import region_means
from stages.core.nets.weights import WeightsFile, load_weights
from stages.core.params import Params
from stages.pretrain.common_regions import CommonRegions, MaskingConfig, pixel_regions


class VICEConfig(Params):
    """ViCE. The defaults are the paper's for Cityscapes at low resolution."""

    method: Literal["vice"] = "vice"
    backbone: BackboneConfig = BackboneConfig(name="resnet18", output_stride=8)
    decoder: DecoderConfig = FPNConfig()
    """`fpn` at low, `deeplabv3plus` (rates 12, 24, 36, separable, embedding 128) at high resolution. Section 4."""
    weights: WeightsFile | None = None
    """Weights that the backbone starts from; null for random ones. The paper: ImageNet's, learnt with labels."""
    views: SectorViewConfig = SectorViewConfig()
    """The first view gives the codes, the others predict them."""
    regions: Literal["superpixels", "pixels"] = "superpixels"
    """Maps of the stage superpixels (`grid` there for a grid), or every pixel by itself, for the ablation."""
    masking: MaskingConfig | None = MaskingConfig()
    """Contextual masking, section 3.2; null for none."""
    prototypes: int = Field(128, ge=2)
    """P. Section 4: 128."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax, equation 3. SwAV's: 0.1."""
    epsilon: float = Field(0.05, gt=0)
    """Smoothness of the codes. SwAV's: 0.05."""
    queue: int = Field(5000, ge=0)
    """Regions of earlier batches that help to assign codes. Section 4: 5000 per GPU. They are stored as vectors and
    scored anew at every step; the places that are still empty take no part."""
    queue_start: int = Field(313, ge=0)
    """Iteration from which the queue fills and is used. The code: 313."""
    freeze_prototypes: int = Field(313, ge=0)
    """Iterations before the prototypes learn. The code: 313."""
    vector: Literal["mean", "max"] = "mean"
    """What stands for a region: the mean of its pixels (the paper), or the pixel with the highest score, to which the
    others are drawn by a second loss of equal weight (the released files for high resolution)."""
    average: Literal["photographs", "regions"] = "photographs"
    """Whether each photograph weighs the same (equation 3) or each region (the code)."""
    training: TrainingConfig = TrainingConfig(
        epochs=24, batch_size=128, optimizer=OptimizerConfig(base_lr=0.64, final_lr=0.00064, warmup_epochs=0.48)
    )
    """Section 4: 24 epochs, 128 photographs, LARS up to 0.32 after 2 % of the iterations."""

    @property
    def parts_card(self) -> dict[str, Any]:
        """The parts that are exported, with their configs."""
        return {
            "backbone": self.backbone.model_dump(mode="json"),
            "decoder": self.decoder.model_dump(mode="json"),
            "prototypes": {"count": self.prototypes},
        }

    def build(self) -> "VICE":
        """The method, with fresh weights from torch's generator."""
        return VICE(self)


class VICE(TrainingMethod):
    """Network, prototypes and queue."""

    def __init__(self, config: VICEConfig) -> None:
        super().__init__()
        self.config = config
        self.views = config.views
        self.maps = ("superpixels",) if config.regions == "superpixels" else ()
        self.features = build_features(config.backbone, config.decoder)
        if config.weights:
            load_weights(self.features.backbone, config.weights)
        self.prototypes = Prototypes(self.features.size, config.prototypes)
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
        z, coherence = zip(*map(self._describe, maps, numbers, [len(photographs)] * len(maps)), strict=True)
        scores = [self._score(each) for each in z]  # V x (R, P)
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
        parts["coherence"] = torch.stack(coherence).mean()
        return Losses((clustering + parts["coherence"]) / 2, parts)

    def after_gradients(self, progress: TrainingProgress) -> None:
        """Leave the prototypes as they are for the first iterations."""
        if progress.iteration < self.config.freeze_prototypes:
            self.prototypes.weight.grad = None

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder and prototypes."""
        return {**self.features.parts, "prototypes": self.prototypes}

    def _find_regions(self, batch: Batch) -> list[Tensor]:
        if self.config.regions == "superpixels":
            return batch.maps["superpixels"]
        return pixel_regions(batch.windows.to(batch.views[0].device), self.config.views.size)

    def _describe(self, features: Tensor, regions: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Unit vectors (R, D) of the regions of one view, and how far their pixels are from them where that is used."""
        if self.config.vector == "mean":
            return F.normalize(region_means(features, regions, count), dim=1), features.new_zeros(())
        enlarged = F.interpolate(features.float(), regions.shape[1:], mode="bilinear", align_corners=False)
        pixels = F.normalize(enlarged.permute(0, 2, 3, 1)[regions >= 0], dim=1)  # (N, D)
        region = regions[regions >= 0]
        chosen = pixels[_place_of_highest(self._score(pixels.detach()).amax(1), region, count)]
        areas = torch.bincount(region, minlength=count)
        distances = (pixels - chosen[region]).square().sum(1).clamp_min(1e-12).sqrt()
        return chosen, (distances / areas[region]).sum() / count

    def _score(self, z: Tensor) -> Tensor:
        """(R, D) to (R, P) in full precision: cosines over epsilon want more digits than bf16 has."""
        with torch.autocast(z.device.type, enabled=False):
            scores: Tensor = self.prototypes(z.float())
        return scores

    def _assign(self, z: Tensor, scores: Tensor, progress: TrainingProgress) -> Tensor:
        """Codes (R, P) of the first view; the queue takes part and is filled afterwards."""
        if progress.iteration < self.config.queue_start:
            return sinkhorn(scores, self.config.epsilon)
        earlier = self._score(self.queue.written(0)).detach()
        codes = sinkhorn(torch.cat([earlier, scores]), self.config.epsilon)[len(earlier) :]
        self.queue.push(0, z)
        return codes

    def _predict(self, scores: list[Tensor], codes: Tensor, photographs: Tensor) -> Tensor:
        """Cross-entropy of the codes and the other views' predictions, equation 3."""
        predictions = torch.stack([F.log_softmax(each / self.config.temperature, dim=1) for each in scores])
        losses = -(codes * predictions).sum(2).mean(0)  # (R,)
        if self.config.average == "regions":
            return losses.mean()
        sizes = torch.bincount(photographs)
        return (losses / sizes[photographs]).sum() / (sizes > 0).sum()


def _place_of_highest(values: Tensor, region: Tensor, count: int) -> Tensor:
    """The place (R,) of each region's highest value, the first of equal ones."""
    highest = values.new_full((count,), -torch.inf).scatter_reduce(0, region, values, "amax")
    places = torch.arange(len(values), device=values.device)
    candidates = torch.where(values == highest[region], places, len(values))
    return places.new_full((count,), len(values)).scatter_reduce(0, region, candidates, "amin")
