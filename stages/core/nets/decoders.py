"""Decoders: the backbone's maps of several resolutions to one map of features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.params import Params

_FIRST_STRIDE = 4


class Decoder(nn.Module, ABC):
    """Maps of the backbone's last four stages, finest first, to one map; `size` is its number of channels."""

    size: int

    @abstractmethod
    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """(B, C_s, h_s, w_s) of each stage to (B, size, h, w)."""


class DeepLabV3PlusConfig(Params):
    """DeepLabV3+: atrous pyramid pooling of the last stage, refined by the first one."""

    kind: Literal["deeplabv3plus"] = "deeplabv3plus"
    channels: int = Field(256, ge=1)
    """D, of the pyramid and of the result. Chen et al. 2018: 256."""
    low_level: int = Field(48, ge=1)
    """Channels that the first stage is reduced to. Chen et al. 2018, section 4.1: 48."""
    output_stride: Literal[4, 8, 16, 32] = 4
    """Pixels of the image per cell of the result. Chen et al. 2018: 4; LUSS's cheaper DeepLabV3+*: 16 for ResNet-50 and
    8 for ResNet-18, found by counting its multiply-adds."""
    rates: tuple[int, int, int] = (6, 12, 18)
    """Of the atrous convolutions. Chen et al. 2018: 6, 12, 18 on a last stage of stride 16; twice that at stride 8."""
    separable: bool = False
    """Depthwise separable 3x3 convolutions."""
    embedding: int = Field(0, ge=0)
    """Channels of a last 1x1 convolution, which then are D; 0 for none. ViCE: 128."""

    def build(self, channels: Sequence[int]) -> "DeepLabV3Plus":
        """The decoder of a backbone whose stages have these channels."""
        return DeepLabV3Plus(self, channels)


class DeepLabV3Plus(Decoder):
    """Pyramid pooling, the first stage beside it, two 3x3 convolutions.

    Source: Chen et al., Encoder-Decoder with Atrous Separable Convolution, ECCV 2018.
    """

    def __init__(self, config: DeepLabV3PlusConfig, channels: Sequence[int]) -> None:
        super().__init__()
        self.size = config.embedding or config.channels
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
            low = F.interpolate(low, size, mode="area")
        deep = F.interpolate(deep, size, mode="bilinear", align_corners=False)
        features: Tensor = self.refine(torch.cat([deep, low], 1))
        return features


class DeepLabV3Config(Params):
    """DeepLabV3: atrous pyramid pooling of the last stage."""

    kind: Literal["deeplabv3"] = "deeplabv3"
    channels: int = Field(256, ge=1)
    """D, of the pyramid and of the result. Chen et al. 2017: 256."""
    rates: tuple[int, int, int] = (12, 24, 36)
    """Of the atrous convolutions. Chen et al. 2017: 12, 24, 36 on a last stage of stride 8."""
    dropout: float = Field(0.5, ge=0, lt=1)
    """Behind the pyramid. torchvision and MaskContrast: 0.5."""

    def build(self, channels: Sequence[int]) -> "DeepLabV3":
        """The decoder of a backbone whose stages have these channels."""
        return DeepLabV3(self, channels)


class DeepLabV3(Decoder):
    """Pyramid pooling and one 3x3 convolution, at the stride of the last stage.

    Source: Chen et al., Rethinking Atrous Convolution for Semantic Image Segmentation, 2017.
    """

    def __init__(self, config: DeepLabV3Config, channels: Sequence[int]) -> None:
        super().__init__()
        self.size = config.channels
        self.pyramid = _pyramid(channels[-1], config.channels, config.rates, separable=False, dropout=config.dropout)
        self.refine = _convolve(config.channels, config.channels, 3)

    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """The last stage alone is used."""
        features: Tensor = self.refine(self.pyramid(stages[-1]))
        return features


class FPNConfig(Params):
    """A feature pyramid: every stage projected, added from the coarsest to the finest."""

    kind: Literal["fpn"] = "fpn"
    channels: int = Field(128, ge=1)
    """D. PiCIE and ViCE: 128."""
    last_norm: bool = False
    """Batch norm without affine parameters behind the sum. ViCE: no, it starts from trained weights; from random ones
    all pixels start out so alike that its loss stays at ln P."""

    def build(self, channels: Sequence[int]) -> "FPN":
        """The decoder of a backbone whose stages have these channels."""
        return FPN(self, channels)


class FPN(Decoder):
    """The sum of the stages' projections at the stride of the first stage.

    Source: ViCE, section 4.1, after PiCIE: 1x1 convolutions with bias, bilinear enlargement, nothing behind the sum.
    """

    def __init__(self, config: FPNConfig, channels: Sequence[int]) -> None:
        super().__init__()
        self.size = config.channels
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


DecoderConfig = Annotated[DeepLabV3PlusConfig | DeepLabV3Config | FPNConfig, Field(discriminator="kind")]


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
