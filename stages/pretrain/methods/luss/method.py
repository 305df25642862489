"""LUSS: SwAV that learns shape: a decoder, pixel attention under a saliency prior, alignment of pixels.

Every part can be switched off, so that each row of the paper's ablation (table 5) is this method with other values.

Source: Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022, section 4.
"""

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.online_clustering import sinkhorn, swav_loss
from stages.core.engine.swapped_prediction import SwappedPrediction
from stages.core.images.dataset import Batch
from stages.core.images.view_overlap import GRID, Overlap, overlap_grid, sample_at
from stages.core.nets.attention import AttentivePool, PixelAttention
from stages.core.nets.features import build_features
from stages.core.nets.heads import GlobalPool, ProjectionHead
from stages.pretrain.methods.luss.config import LUSSConfig
from stages.pretrain.multi_crop import map_views

Pair = tuple[Tensor, Tensor]
"""One tensor for each of the two large views."""

_MOST_SALIENT = 255


class LUSS(TrainingMethod):
    """Backbone, decoder, attention, projection head M and prototypes."""

    def __init__(self, config: LUSSConfig) -> None:
        super().__init__()
        self.config = config
        self.views = config.views
        self.expected = Expectation({"swav": config.chance}, config.freeze_prototypes)
        self.maps = ("saliency",) if config.saliency_weight else ()
        self.features = build_features(config.backbone, config.decoder, config.weights)
        self.attention = PixelAttention(self.features.size) if config.attention else None
        self.pool = AttentivePool(self.attention) if self.attention else GlobalPool()
        self.projector = ProjectionHead(self.features.size, config.projector)
        self.clustering = SwappedPrediction(config, config.projector.projected, config.training.batch_size)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """SwAV's loss of the pooled views, and what pixels add to it."""
        maps = map_views(self.features, batch.views)  # V x (B, D, h, w)
        swapped = self.clustering(self._project_images(maps), progress)
        terms = {"swav": (1.0, swapped.loss)}
        large = (maps[0], maps[1])
        if self.config.saliency_weight:
            terms["saliency"] = self.config.saliency_weight, self._follow_saliency(large, batch.maps["saliency"])
        if self.config.image_to_pixel or self.config.pixel_to_pixel:
            terms |= self._align_pixels(large, overlap_grid(batch.windows[:, 0], batch.windows[:, 1]), swapped.codes)
        total = torch.stack([weight * term for weight, term in terms.values()]).sum()
        return Losses(total, {name: term for name, (_, term) in terms.items()} | swapped.diagnostics)

    def export(self) -> dict[str, nn.Module]:
        """Backbone, decoder, attention, projector and prototypes, those that there are."""
        parts = {**self.features.parts, "projector": self.projector, "prototypes": self.clustering.prototypes}
        return parts | ({"attention": self.attention} if self.attention else {})

    def _project_images(self, maps: list[Tensor]) -> list[Tensor]:
        pooled = torch.cat([self.pool(features) for features in maps])
        return list(self.projector(pooled).chunk(len(maps)))

    def _follow_saliency(self, maps: Pair, saliency: list[Tensor]) -> Tensor:
        """Cross-entropy between the attention of the large views and their saliency maps at the features' size."""
        assert self.attention is not None
        logits = torch.cat([self.attention.logits(features) for features in maps]).float()  # (2 B, 1, h, w)
        target = torch.cat([each[:, None].float() / _MOST_SALIENT for each in saliency[: len(maps)]])
        return F.binary_cross_entropy_with_logits(logits, F.interpolate(target, logits.shape[-2:], mode="area"))

    def _align_pixels(self, maps: Pair, overlap: Overlap, codes: list[Tensor]) -> dict[str, tuple[float, Tensor]]:
        """Both alignments of pixels that both large views show, with their weights."""
        shown = overlap.exists
        scores = [
            self._score_pixels(features[shown], places[shown])
            for features, places in zip(maps, overlap.places, strict=True)
        ]  # 2 x (N, P)
        of_images = [code[shown].repeat_interleave(GRID * GRID, 0) for code in codes]
        of_pixels = [sinkhorn(score.detach(), self.config.epsilon) for score in scores]
        # The paper adds both directions up, of which the SwAV loss is the mean.
        both = len(scores)
        image_to_pixel, pixel_to_pixel = (
            both * swav_loss(scores, assigned, self.config.temperature) for assigned in (of_images, of_pixels)
        )
        return {
            "image_to_pixel": (self.config.image_to_pixel, image_to_pixel),
            "pixel_to_pixel": (self.config.pixel_to_pixel, pixel_to_pixel),
        }

    def _score_pixels(self, features: Tensor, places: Tensor) -> Tensor:
        """Scores (N, P) of a map's pixels at some places.

        They pass M as it stands: its weights get no gradient, and its batch norm takes its running statistics.
        """
        pixels = sample_at(features, places).permute(0, 2, 3, 1).flatten(0, 2)  # (N, D)
        frozen = {name: weight.detach() for name, weight in self.projector.named_parameters()}
        was_training = self.projector.training
        z: Tensor = functional_call(self.projector.eval(), frozen, (pixels,))
        self.projector.train(was_training)
        scores: Tensor = self.clustering.prototypes(z)
        return scores
