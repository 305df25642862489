"""Depthwise convolutions of small maps as products of matrices, since oneDNN has no fast gradient for them."""

from functools import cache

import torch
from torch import Tensor, nn

_MOST_PLACES = 36
"""h w, from where on the matrices (h w x h w for each channel) cost more than a dilated convolution."""
_MOST_PLACES_UNDILATED = 4


class SmallDepthwiseConv2d(nn.Conv2d):
    """A depthwise convolution without bias that trains fast on small maps on a CPU; elsewhere it is torch's own.

    oneDNN computes the gradient of a dilated depthwise convolution, and of any on 2x2 maps, value by value: 17 ms for
    100 maps of 96x4x4, which products of matrices have in 1 ms.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to the same shape."""
        places = x.shape[-2] * x.shape[-1]
        most = _MOST_PLACES if self.dilation[0] > 1 else _MOST_PLACES_UNDILATED
        if not self.training or x.device.type != "cpu" or places > most:
            return super().forward(x)
        count, channels, height, width = x.shape
        taps = _taps(height, width, self.kernel_size[0], self.dilation[0])  # (k k, h w h w)
        spread = self.weight.flatten(1) @ taps.to(self.weight)
        maps = x.permute(1, 0, 2, 3).reshape(channels, count, places)
        moved = maps @ spread.view(channels, places, places)
        return moved.view(channels, count, height, width).permute(1, 0, 2, 3)


def quicken_depthwise(module: nn.Module) -> None:
    """Let the depthwise convolutions of a module that keep a map's size be `SmallDepthwiseConv2d`; the state's names
    stay.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.groups == layer.in_channels == layer.out_channels > 1:
            kernel, rate = layer.kernel_size[0], layer.dilation[0]
            same = layer.padding == (rate * (kernel // 2),) * 2 and layer.stride == (1, 1)
            if same and layer.bias is None and kernel % 2 and layer.kernel_size == (kernel, kernel):
                layer.__class__ = SmallDepthwiseConv2d


@cache
def _taps(height: int, width: int, kernel: int, rate: int) -> Tensor:
    """(k k, h w h w): 1 where a tap of the kernel brings a place of the map to another one."""
    steps = (torch.arange(kernel) - kernel // 2) * rate
    # (k, h, h): from row r to row r', which reads r' + step; columns likewise.
    rows = torch.arange(height)[:, None] == torch.arange(height) + steps[:, None, None]
    columns = torch.arange(width)[:, None] == torch.arange(width) + steps[:, None, None]
    both = rows[:, None, :, None, :, None] & columns[None, :, None, :, None, :]  # (k, k, h, w, h', w')
    return both.reshape(kernel * kernel, -1).float()
