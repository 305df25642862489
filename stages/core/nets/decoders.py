"""Decoders (DeepLabV3, DeepLabV3+, FPN): from the backbone's maps of several strides to one feature map."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import DecoderConfig, DeepLabV3Config, DeepLabV3PlusConfig, FPNConfig
from stages.core.nets.decoder import Decoder
from stages.core.nets.resizing import average_areas
from stages.core.nets.vice_decoder import ViCEDecoder

_FIRST_STRIDE = 4


class DeepLabV3Plus(Decoder):
    """Pyramid pooling, the first stage beside it, two 3x3 convolutions.

    Source: Chen et al., Encoder-Decoder with Atrous Separable Convolution, ECCV 2018.
    """

    def __init__(self, config: DeepLabV3PlusConfig, channels: Sequence[int]) -> None:
        super().__init__()
        self.card, self.size = config, config.embedding or config.channels
        self._shrink = config.output_stride / _FIRST_STRIDE
        self.pyramid = _pyramid(channels[-1], config.channels, config.rates, config.separable, dropout=0.0)
        self.low_level = _convolve(channels[0], config.low_level, 1)
        self.refine = nn.Sequential(
            _convolve(config.channels + config.low_level, config.channels, 3, config.separable),
            _convolve(config.channels, config.channels, 3, config.separable),
            *([nn.Conv2d(config.channels, config.embedding, 1)] if config.embedding else []),
        )

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Both are brought to the output stride: the deep map by enlarging, the first stage by averaging."""
        low, deep = self.low_level(stages[0]), self.pyramid(stages[-1])
        size = [max(round(side / self._shrink), 1) for side in low.shape[-2:]]
        if self._shrink > 1:
            low = average_areas(low, (size[0], size[1]))
        deep = F.interpolate(deep, size, mode="bilinear", align_corners=False)
        features: Tensor = self.refine(torch.cat([deep, low], 1))
        return features


class DeepLabV3(Decoder):
    """Pyramid pooling and one 3x3 convolution, at the stride of the last stage.

    Source: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017.
    """

    def __init__(self, config: DeepLabV3Config, channels: Sequence[int]) -> None:
        super().__init__()
        self.card, self.size = config, config.channels
        self.pyramid = _pyramid(channels[-1], config.channels, config.rates, separable=False, dropout=config.dropout)
        self.refine = _convolve(config.channels, config.channels, 3)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """The last stage alone is used."""
        features: Tensor = self.refine(self.pyramid(stages[-1]))
        return features


class FPN(Decoder):
    """The sum of the stages' projections at the stride of the first stage.

    Source: ViCE, section 4.1, after PiCIE: 1x1 convolutions with bias, bilinear enlargement, nothing behind the sum.
    """

    def __init__(self, config: FPNConfig, channels: Sequence[int]) -> None:
        super().__init__()
        self.card, self.size = config, config.channels
        self.lateral = nn.ModuleList(nn.Conv2d(count, config.channels, 1) for count in channels)
        self.last = nn.BatchNorm2d(config.channels, affine=False) if config.last_norm else nn.Identity()

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """Sum from the coarsest stage to the finest."""
        laterals: list[Tensor] = [project(stage) for project, stage in zip(self.lateral, stages, strict=True)]
        total = laterals.pop()
        while laterals:
            finer = laterals.pop()
            total = finer + F.interpolate(total, finer.shape[-2:], mode="bilinear", align_corners=False)
        features: Tensor = self.last(total)
        return features


def build_decoder(config: DecoderConfig, channels: Sequence[int]) -> Decoder:
    """The decoder, with random weights, of a backbone whose last four stages have these channels, finest first."""
    match config:
        case DeepLabV3PlusConfig(form="vice"):
            return ViCEDecoder(config, channels)
        case DeepLabV3PlusConfig():
            return DeepLabV3Plus(config, channels)
        case DeepLabV3Config():
            return DeepLabV3(config, channels)
        case FPNConfig():
            return FPN(config, channels)


def _pyramid(channels: int, size: int, rates: tuple[int, int, int], separable: bool, dropout: float) -> nn.Module:
    """1x1, three atrous 3x3 and a pooled branch, then a 1x1 projection; (B, channels, h, w) to (B, size, h, w)."""
    from segmentation_models_pytorch.decoders.deeplabv3.decoder import ASPP

    pyramid: nn.Module = ASPP(channels, size, rates, separable, dropout)
    return pyramid


def _convolve(channels: int, size: int, kernel: int, separable: bool = False) -> nn.Sequential:
    """Convolution, batch norm, ReLU; the convolution split into depthwise and pointwise if it is separable."""
    across, groups = (channels, channels) if separable else (size, 1)
    spatial = nn.Conv2d(channels, across, kernel, padding=kernel // 2, groups=groups, bias=False)
    pointwise = [nn.Conv2d(channels, size, 1, bias=False)] if separable else []
    return nn.Sequential(spatial, *pointwise, nn.BatchNorm2d(size), nn.ReLU(inplace=True))
