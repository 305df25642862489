"""The small segmentation network that learns from classical saliency maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTHS = (16, 32, 64, 96)


class Student(nn.Module):
    """A U-Net from random weights, at half of its input's size and below; it also sees where each pixel lies.

    Small on purpose: what four stages of few channels can fit is what the teachers agree on, not their noise.
    """

    def __init__(self) -> None:
        super().__init__()
        first, second, third, last = _WIDTHS
        self.stem = _convolve(5, first, stride=2)
        self.down = nn.ModuleList(
            [
                _convolve(first, first),
                nn.Sequential(_convolve(first, second, stride=2), _convolve(second, second)),
                nn.Sequential(_convolve(second, third, stride=2), _convolve(third, third)),
                nn.Sequential(_convolve(third, last, stride=2), _convolve(last, last, dilation=2)),
            ]
        )
        # The coarsest features go up together with their mean over the whole image.
        self.up = nn.ModuleList(
            [_convolve(2 * last + third, third), _convolve(third + second, second), _convolve(second + first, first)]
        )
        self.head = nn.Conv2d(first, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Saliency logits (B, H, W) of normalized images (B, 3, H, W)."""
        features = self.stem(torch.cat([images, _locate(images)], dim=1))
        levels = []
        for stage in self.down:
            features = stage(features)
            levels.append(features)
        features = torch.cat([features, features.mean((2, 3), keepdim=True).expand_as(features)], dim=1)
        for stage, level in zip(self.up, levels[-2::-1], strict=True):
            features = stage(torch.cat([_resize(features, level.shape[2:]), level], dim=1))
        return _resize(self.head(features), images.shape[2:])[:, 0]


def normalize(images: Tensor) -> Tensor:
    """Images (B, H, W, 3) uint8 as the network takes them: (B, 3, H, W) around zero."""
    return images.permute(0, 3, 1, 2).float().div(255).sub(0.45).div(0.25).contiguous(memory_format=torch.channels_last)


def predict_mirrored(network: nn.Module, images: Tensor) -> Tensor:
    """Saliency (B, H, W) in 0..1 of normalized images, averaged with that of their mirror images."""
    both = torch.sigmoid(network(images)) + torch.sigmoid(network(images.flip(3))).flip(2)
    return both.float() / 2


def _convolve(inputs: int, outputs: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def _locate(images: Tensor) -> Tensor:
    """Height and width (B, 2, H, W) of every pixel from -1 to 1."""
    count, _, height, width = images.shape
    y = torch.linspace(-1, 1, height, device=images.device, dtype=images.dtype)
    x = torch.linspace(-1, 1, width, device=images.device, dtype=images.dtype)
    return torch.stack(torch.meshgrid(y, x, indexing="ij")).expand(count, -1, -1, -1)


def _resize(features: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(features, size=tuple(size), mode="bilinear", align_corners=False)
