"""ViCE's DeepLabV3+: other separable convolutions, projection, enlargement and starting weights than Chen et al.'s.

Source: the code of Karlsson et al., ViCE, at revision 96d328b.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import DeepLabV3PlusConfig
from stages.core.nets.decoder import Decoder

_FIRST_BIAS = 1e-4


class ViCEDecoder(Decoder):
    """Pyramid of the last stage, beside it the first one, two separable 3x3 convolutions, a 1x1 to the embeddings."""

    def __init__(self, config: DeepLabV3PlusConfig, channels: Sequence[int]) -> None:
        super().__init__()
        self.card, self.size = config, config.embedding or config.channels
        size = config.channels
        self.pyramid = Pyramid(channels[-1], size, config.rates)
        self.low_level = nn.Sequential(*_convolve(channels[0], config.low_level, 1))
        self.refine = nn.Sequential(
            *_separate(size + config.low_level, size, 1),
            *_separate(size, size, 1),
            *([nn.Conv2d(size, config.embedding, 1)] if config.embedding else []),
        )
        _draw_weights(self)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """The pyramid is enlarged to the size of the first stage."""
        low = self.low_level(stages[0])
        deep = F.interpolate(self.pyramid(stages[-1]), low.shape[-2:], mode="bilinear", align_corners=True)
        features: Tensor = self.refine(torch.cat([low, deep], 1))
        return features


class Pyramid(nn.Module):
    """A 1x1, three separable atrous 3x3 and a pooled branch; their 3x3 projection has no ReLU and no dropout."""

    def __init__(self, channels: int, size: int, rates: tuple[int, int, int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Sequential(*_convolve(channels, size, 1)),
                *(nn.Sequential(*_separate(channels, size, rate)) for rate in rates),
            ]
        )
        self.pooled = nn.Sequential(*_convolve(channels, size, 1))
        self.project = nn.Sequential(nn.Conv2d(5 * size, size, 3, padding=1, bias=False), nn.BatchNorm2d(size))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to (B, size, h, w)."""
        pooled = self.pooled(features.mean((2, 3), keepdim=True)).expand(-1, -1, *features.shape[-2:])
        joined: Tensor = self.project(torch.cat([*(branch(features) for branch in self.branches), pooled], 1))
        return joined


def _convolve(channels: int, size: int, kernel: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, size, kernel, bias=False), nn.BatchNorm2d(size), nn.ReLU(inplace=True)]


def _separate(channels: int, size: int, rate: int) -> list[nn.Module]:
    """Depthwise 3x3 and pointwise convolution, each with its batch norm behind the ReLU."""
    depthwise = nn.Conv2d(channels, channels, 3, padding=rate, dilation=rate, groups=channels, bias=False)
    pointwise = nn.Conv2d(channels, size, 1, bias=False)
    return [depthwise, nn.ReLU(), nn.BatchNorm2d(channels), pointwise, nn.ReLU(), nn.BatchNorm2d(size)]


def _draw_weights(module: nn.Module) -> None:
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.constant_(layer.bias, _FIRST_BIAS)
