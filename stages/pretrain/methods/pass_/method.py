"""PASS: the later code of LUSS's authors: SwAV with aligned pixels and deep-to-shallow supervision.

Named `pass_` since `pass` is a word of Python; the recipe is `pass`.

Source: github.com/LUSSeg/PASS, step 1; Gao et al., Large-scale Unsupervised Semantic Segmentation, TPAMI 2022.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import ProjectionConfig
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.online_clustering import swav_loss
from stages.core.engine.swapped_prediction import ASSIGNED, SwappedPrediction
from stages.core.images.dataset import Batch
from stages.core.images.view_overlap import overlap_grid, sample_at
from stages.core.nets.backbones import build_backbone, embedding_size, stage_channels, stage_maps
from stages.core.nets.heads import ProjectionHead, draw_fan_out
from stages.pretrain.methods.pass_.config import PASSConfig
from stages.pretrain.multi_crop import map_views


class ShallowHead(nn.Module):
    """What a shallow stage's map (B, C, h, w) says of the image: a pixel head, the mean, an image head."""

    def __init__(self, size: int, hidden: int, projector: ProjectionConfig) -> None:
        super().__init__()
        self.pixels = _pixel_head(size, hidden, size)
        self.image = ProjectionHead(size, projector)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to unit vectors (B, D)."""
        z: Tensor = self.image(self.pixels(features).mean((2, 3)))
        return z


class PASS(TrainingMethod):
    """Backbone, image head, prototypes, shallow heads, pixel head and predictor."""

    def __init__(self, config: PASSConfig) -> None:
        super().__init__()
        self.config = config
        self.views = config.views
        self.expected = Expectation({"swav": config.chance}, config.freeze_prototypes)
        self.backbone = build_backbone(config.backbone, config.weights)
        size, projected = embedding_size(self.backbone), config.projector.projected
        self.projector = ProjectionHead(size, config.projector)
        self.clustering = SwappedPrediction(config, projected, config.training.batch_size)
        channels = stage_channels(self.backbone)
        self.shallow = nn.ModuleList(
            ShallowHead(channels[stage - 1], config.pixel_hidden, config.projector) for stage in config.shallow
        )
        if config.pixel_to_pixel:
            self.pixels = _pixel_head(size, config.pixel_hidden, projected)
            self.predictor = nn.Sequential(
                nn.Conv2d(projected, projected, 1, bias=False),
                nn.BatchNorm2d(projected),
                nn.ReLU(inplace=True),
                nn.Conv2d(projected, projected, 1),
            )
            draw_fan_out(self.predictor)

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """SwAV's loss and that of the shallow stages as a weighted mean, and the loss of aligned pixels."""
        stages = stage_maps(self.backbone, torch.cat(batch.views[:ASSIGNED]))  # of the large views
        maps = [*stages[-1].chunk(ASSIGNED), *map_views(self.backbone, batch.views[ASSIGNED:])]
        swapped = self.clustering(self._project([features.mean((2, 3)) for features in maps]), progress)
        parts = {"swav": swapped.loss}
        weight, image = 1.0, swapped.loss
        for stage, head in zip(self.config.shallow, self.shallow, strict=True):
            term = parts[f"stage_{stage}"] = self._supervise(head(stages[stage - 1]), swapped.codes)
            weight, image = weight + self.config.shallow_weight, image + self.config.shallow_weight * term
        total = image / weight
        if self.config.pixel_to_pixel:
            parts["pixel_to_pixel"] = self._align_pixels(maps[:ASSIGNED], batch.windows)
            total = total + self.config.pixel_to_pixel * parts["pixel_to_pixel"]
        return Losses(total, parts | swapped.diagnostics)

    def export(self) -> dict[str, nn.Module]:
        """Backbone, image head and prototypes."""
        return {"backbone": self.backbone, "projector": self.projector, "prototypes": self.clustering.prototypes}

    def _project(self, pooled: Sequence[Tensor]) -> list[Tensor]:
        return list(self.projector(torch.cat(list(pooled))).chunk(len(pooled)))

    def _supervise(self, z: Tensor, codes: list[Tensor]) -> Tensor:
        """Predict the deep code of each large view from a shallow stage (2 B, D) of the other one."""
        scores = self.clustering.prototypes.score_detached(z)
        return swav_loss(scores.chunk(ASSIGNED), codes, self.config.temperature)

    def _align_pixels(self, maps: Sequence[Tensor], windows: Tensor) -> Tensor:
        """Minus the cosine of what a pixel predicts and the same place's pixel in the other view; 0 where none is."""
        overlap = overlap_grid(windows[:, 0], windows[:, 1])
        embedded = self.pixels(torch.cat(list(maps))).chunk(ASSIGNED)
        with torch.autocast(windows.device.type, enabled=False):
            first, second = (sample_at(each, places) for each, places in zip(embedded, overlap.places, strict=True))
            ahead = self.predictor(torch.cat([first, second])).chunk(ASSIGNED)
            cosines = [F.cosine_similarity(ahead[0], second.detach()), F.cosine_similarity(ahead[1], first.detach())]
        return -torch.stack(cosines).mean()


def _pixel_head(size: int, hidden: int, out: int) -> nn.Sequential:
    """Three 1x1 convolutions without bias; batch norm and ReLU behind the first two, batch norm behind the last."""
    layers: list[nn.Module] = []
    for channels in (size, hidden):
        layers += [nn.Conv2d(channels, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.ReLU(inplace=True)]
    head = nn.Sequential(*layers, nn.Conv2d(hidden, out, 1, bias=False), nn.BatchNorm2d(out, affine=False))
    draw_fan_out(head)
    return head
