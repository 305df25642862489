"""ResNet-38, wide and not deep, the network of AffinityNet and SEAM, which timm does not have.

Source: Wu et al., Wider or Deeper: Revisiting the ResNet Model for Visual Recognition, PR 2019: model A;
dropout and dilation of AffinityNet's code (Ahn and Kwak, CVPR 2018).
"""

from typing import NamedTuple, cast

import torch.nn.functional as F
from torch import Tensor, nn

from stages.core.config.networks import BackboneConfig

_FIRST = 64
"""Channels of the first convolution, which keeps the image's resolution."""


class _Stage(NamedTuple):
    widths: tuple[int, ...]
    """Channels that each convolution of a block gives: two of 3 x 3, or one of 3 x 3 between two of 1 x 1."""
    blocks: int = 1
    stride: int = 2
    """Of its first block."""
    dropout: float = 0.0
    """Before every convolution of a block but the first."""


_STAGES = (
    _Stage((128, 128), 3),
    _Stage((256, 256), 3),
    _Stage((512, 512), 6),
    _Stage((512, 1024), 3),
    _Stage((512, 1024, 2048), dropout=0.3),
    _Stage((1024, 2048, 4096), stride=1, dropout=0.5),
)
_LAST_OF_STAGES = (1, 2, 3, 5)
"""Numbers of the stages whose maps `forward_intermediates` gives; SEAM compares pixels by the middle two."""


class _Block(nn.Module):
    """Norm, ReLU and convolution, two or three times, beside what comes in, or a 1 x 1 convolution of it.

    Args:
        channels: Of what comes in.
        stage: Where it stands.
        stride: Of the first convolution.
        rates: Dilation of its first convolution and of the others, as far as they are 3 x 3.
    """

    def __init__(self, channels: int, stage: _Stage, stride: int, rates: tuple[int, int]) -> None:
        super().__init__()
        before, sizes = (channels, *stage.widths[:-1]), (3, 3) if len(stage.widths) == 2 else (1, 3, 1)
        self.dropout = nn.Dropout2d(stage.dropout)
        self.norms = nn.ModuleList(nn.BatchNorm2d(size) for size in before)
        self.convolutions = nn.ModuleList(
            _convolution(incoming, width, size, stride if number == 0 else 1, rates[min(number, 1)])
            for number, (incoming, width, size) in enumerate(zip(before, stage.widths, sizes, strict=True))
        )
        is_same = channels == stage.widths[-1] and stride == 1
        self.shortcut = None if is_same else _convolution(channels, stage.widths[-1], 1, stride)

    def activate(self, features: Tensor) -> Tensor:
        """What the block's first convolution sees."""
        return F.relu(self.norms[0](features))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) to (B, D, h / stride, w / stride)."""
        activated = self.activate(features)
        found = self.convolutions[0](activated)
        for norm, convolution in zip(self.norms[1:], self.convolutions[1:], strict=True):
            found = convolution(self.dropout(F.relu(norm(found))))
        beside = self.shortcut(activated) if self.shortcut else features
        added: Tensor = beside + found
        return added


class ResNet38(nn.Module):
    """The network without its classifier, as timm has others.

    Args:
        card: Its parameters; an output stride below 32 dilates what would have been strided.
    """

    def __init__(self, card: BackboneConfig) -> None:
        super().__init__()
        self.card = card
        self.first = _convolution(3, _FIRST, 3)
        self.stages, channels, rate, reached = nn.ModuleList(), _FIRST, 1, 1
        for stage in _STAGES:
            is_dilated = stage.stride > 1 and reached == (card.output_stride or 32)
            stride, earlier = 1 if is_dilated else stage.stride, rate
            rate, reached = rate * stage.stride // stride, reached * stride
            blocks = nn.Sequential(_Block(channels, stage, stride, (earlier, rate)))
            channels = stage.widths[-1]
            blocks.extend(_Block(channels, stage, 1, (rate, rate)) for _ in range(stage.blocks - 1))
            self.stages.append(blocks)
        self.num_features = channels
        self.default_cfg = {"first_conv": "first"}
        self.norm = nn.BatchNorm2d(channels)
        self.feature_info = [{"num_chs": _STAGES[number].widths[-1]} for number in _LAST_OF_STAGES]

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 4096, h, w)."""
        return self.forward_intermediates(images)[0]

    def forward_intermediates(self, images: Tensor, indices: int = len(_LAST_OF_STAGES)) -> tuple[Tensor, list[Tensor]]:
        """The last map, and the last `indices` of the stages' maps, each as the next convolution sees it."""
        features, maps = self.first(images), list[Tensor]()
        for number, blocks in enumerate(self.stages.children()):
            if number - 1 in _LAST_OF_STAGES:
                maps.append(cast(_Block, next(blocks.children())).activate(features))
            features = blocks(features)
        maps.append(F.relu(self.norm(features)))
        return maps[-1], maps[-indices:]


def _convolution(channels: int, width: int, size: int, stride: int = 1, rate: int = 1) -> nn.Conv2d:
    rate = rate if size > 1 else 1
    layer = nn.Conv2d(channels, width, size, stride, padding=size // 2 * rate, dilation=rate, bias=False)
    nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
    return layer
