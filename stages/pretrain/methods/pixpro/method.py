"""PixPro: pixels of two views that show the same place agree, each smoothed by the pixels that are like it.

Source: Xie et al., Propagate Yourself: Exploring Pixel-Level Consistency for Unsupervised Visual Representation
Learning, CVPR 2021; what the paper leaves open from the authors' code.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.engine.collapse import embedding_std
from stages.core.engine.diagnosis import Expectation
from stages.core.engine.distributed import mean_over_rows
from stages.core.engine.method import Losses, TrainingMethod, TrainingProgress
from stages.core.engine.momentum import MomentumCopy
from stages.core.images.dataset import Batch
from stages.core.nets.backbones import build_backbone, embedding_size
from stages.core.nets.perceptron import Perceptron
from stages.pretrain.methods.pixpro.config import PixProConfig

_DIRECTIONS = 2
_WEIGHT = 2.0
"""Of each direction's mean cosine in the authors' code."""
_CAUSES = "the views hardly overlap, near is too large, or momentum.value too near to 1 for so few steps"


class PixPro(TrainingMethod):
    """The backbone with a projector of pixels, the key network that follows them, and the propagation."""

    def __init__(self, config: PixProConfig) -> None:
        super().__init__()
        self.config, self.views = config, config.views
        self.expected = Expectation({"distance": 1.0}, causes=_CAUSES)
        self.backbone = build_backbone(config.backbone, config.weights)
        size, out = embedding_size(self.backbone), config.projected
        self.projector = Perceptron(size, config.hidden, out, of="maps")
        self.transform = nn.Conv2d(out, out, 1)
        self.keys = MomentumCopy(self._online, buffers="own")

    def step(self, batch: Batch, progress: TrainingProgress) -> Losses:
        """Minus the cosine of a propagated pixel and the other view's pixels of the same place; equation 4."""
        views = torch.cat(batch.views)
        maps = self._online(views)  # (2 B, D, h, w)
        with torch.autocast(views.device.type, enabled=False):
            propagated = propagate(maps.float(), self.transform, self.config.sharpness).chunk(2)
        keys = self.keys(views).chunk(2)
        pairs = near_pairs(batch.windows[:, 0], batch.windows[:, 1], maps.shape[-2:], self.config.near)
        first = mean_cosine(propagated[0], keys[1], pairs)
        second = mean_cosine(propagated[1], keys[0], pairs.transpose(1, 2))
        shown = pairs.flatten(1).any(1)
        distance = mean_over_rows((1 - (first + second) / _DIRECTIONS)[shown])
        parts = {
            "distance": distance,
            "pairs": mean_over_rows(shown.float()),
            "embedding_std": embedding_std(F.normalize(keys[0].mean((2, 3)), dim=1)),
        }
        return Losses(-_WEIGHT * (first + second).mean(), parts)

    def after_step(self, progress: TrainingProgress) -> None:
        """Let the key network follow."""
        self.keys.update(self._online, self.config.momentum.at(progress))

    def export(self) -> dict[str, nn.Module]:
        """The backbone."""
        return {"backbone": self.backbone}

    @property
    def _online(self) -> nn.Module:
        return nn.Sequential(self.backbone, self.projector)


def propagate(features: Tensor, transform: nn.Module, sharpness: float) -> Tensor:
    """Every pixel as the sum of all pixels, weighted by how alike they are.

    Args:
        features: (B, D, h, w), of any length.
        transform: From D to D channels; its result is brought to length 1.
        sharpness: Power of the cosine; what is below 0 counts nothing.

    Source: equations 2 and 3.
    """
    pixels = F.normalize(features, dim=1).flatten(2)  # (B, D, h w)
    alike: Tensor = (pixels.transpose(1, 2) @ pixels).clamp(min=0).pow(sharpness)  # (B, h w, h w)
    transformed: Tensor = F.normalize(transform(features), dim=1).flatten(2)
    propagated: Tensor = (transformed @ alike).view(features.shape)
    return propagated


def near_pairs(first: Tensor, second: Tensor, size: tuple[int, int], near: float) -> Tensor:
    """Which pixels of two views' maps show the same place.

    Args:
        first: (B, 5) windows: x, y, width, height in the photograph's pixels, 1 where mirrored.
        second: (B, 5)
        size: h, w of the maps.
        near: Limit of the distance between centers, in diagonals of the larger of both cells.

    Returns:
        (B, h w, h w) bool, by pixel of the first and pixel of the second.

    Source: equation 1.
    """
    centers = [_cell_centers(window, size) for window in (first, second)]
    diagonals = [(window[:, 2:4] / window.new_tensor([size[1], size[0]])).norm(dim=1) for window in (first, second)]
    apart = (centers[0][:, :, None] - centers[1][:, None]).norm(dim=-1)
    pairs: Tensor = apart < near * torch.maximum(*diagonals)[:, None, None]
    return pairs


def _cell_centers(windows: Tensor, size: tuple[int, int]) -> Tensor:
    """Centers (B, h w, 2) of a map's cells, x and y in the photograph's pixels."""
    across = (torch.arange(size[1], device=windows.device) + 0.5) / size[1]
    down = (torch.arange(size[0], device=windows.device) + 0.5) / size[0]
    mirrored = torch.where(windows[:, 4:] > 0, 1 - across, across)  # (B, w)
    x = windows[:, :1] + mirrored * windows[:, 2:3]
    y = windows[:, 1:2] + down * windows[:, 3:4]
    grid = torch.stack([x[:, None].expand(-1, size[0], -1), y[:, :, None].expand(-1, -1, size[1])], 3)
    return grid.flatten(1, 2)


def mean_cosine(predictions: Tensor, targets: Tensor, pairs: Tensor) -> Tensor:
    """Mean cosine (B,) of the pairs (B, h w, h w) of two maps (B, D, h, w); 0 where a photograph has none."""
    predicted, wanted = (F.normalize(each.float(), dim=1).flatten(2) for each in (predictions, targets))
    with torch.autocast(predictions.device.type, enabled=False):
        cosines = predicted.transpose(1, 2) @ wanted
    return (cosines * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
