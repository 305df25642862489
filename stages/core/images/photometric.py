"""Photometric augmentation, flipping and normalization of whole batches on a GPU, with parameters per view."""

import math
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor
from torch.nn import functional as F

from stages.core.images.compiled_photometric import ORDERS
from stages.core.images.views import PHOTOMETRIC_FIELDS

_GRAY_WEIGHTS = (0.299, 0.587, 0.114)
_ORDERS = torch.from_numpy(ORDERS)
_SOLARIZE_FROM = 128 / 255


def augment_views(pixels: Tensor, photometric: Tensor, flip: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Mirror, recolor and normalize a batch of views.

    What is changed is decided where the parameters are, which belongs on the CPU: a GPU that has to tell how many views
    are to be changed makes the program wait for all that it has been given before.

    Args:
        pixels: (B, 3, H, W) uint8, channels last in memory.
        photometric: (B, 8), columns as `PHOTOMETRIC_FIELDS`, on the CPU.
        flip: (B,) bool, on the CPU.
        mean: (3,) of values in 0..1.
        std: (3,)

    Returns:
        (B, 3, H, W) float32, channels last in memory.

    Source: the operations of torchvision's ColorJitter, Grayscale, GaussianBlur and Solarize, in SwAV's order.
    """
    # In place and on the chosen images alone: copies of the whole batch would cost more than the changes.
    images = pixels.div(255)
    column = dict(zip(PHOTOMETRIC_FIELDS, photometric.unbind(1), strict=True))
    factors = dict(zip(PHOTOMETRIC_FIELDS, photometric.to(pixels.device, non_blocking=True).unbind(1), strict=True))
    _change(images, flip, lambda x, _: x.flip(-1), factors["order"])
    _jitter(images, column["order"].long(), factors)
    _change(images, column["gray"] > 0, lambda x, _: _gray(x).expand_as(x), factors["gray"])
    reach = float(column["blur"].max()) if len(images) else 0.0
    _change(images, column["blur"] > 0, partial(_blur, largest=reach), factors["blur"])
    _change(
        images, column["solarize"] > 0, lambda x, _: torch.where(x >= _SOLARIZE_FROM, 1 - x, x), factors["solarize"]
    )
    finished = images.sub_(mean[:, None, None]).div_(std[:, None, None])
    return finished.contiguous(memory_format=torch.channels_last)


def _jitter(images: Tensor, order: Tensor, factors: dict[str, Tensor]) -> None:
    steps: list[tuple[Callable[[Tensor, Tensor], Tensor], Tensor]] = [
        (_brightness, factors["brightness"]),
        (_contrast, factors["contrast"]),
        (_saturation, factors["saturation"]),
        (_hue, factors["hue"]),
    ]
    places = _ORDERS[order.clamp(min=0)]  # (B, 4)
    for place in range(4):
        for number, (change, factor) in enumerate(steps):
            _change(images, (order >= 0) & (places[:, place] == number), change, factor)


def _change(images: Tensor, chosen: Tensor, change: Callable[[Tensor, Tensor], Tensor], factor: Tensor) -> None:
    """Apply a change to the chosen images of the batch, in place; `chosen` (B,) is on the CPU."""
    rows = chosen.nonzero().squeeze(1)
    if len(rows):
        rows = rows.to(images.device, non_blocking=True)
        images.index_copy_(0, rows, change(images[rows], factor[rows]))


@cache
def constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Numbers on a device, brought there once: each transfer makes the program wait."""
    return torch.tensor(values, device=device)


def _brightness(images: Tensor, factor: Tensor) -> Tensor:
    return (images * factor[:, None, None, None]).clamp(0, 1)


def _contrast(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _gray(images).mean((1, 2, 3), keepdim=True), factor)


def _saturation(images: Tensor, factor: Tensor) -> Tensor:
    return _blend(images, _gray(images), factor)


def _blend(images: Tensor, other: Tensor, factor: Tensor) -> Tensor:
    share = factor[:, None, None, None]
    return (share * images + (1 - share) * other).clamp(0, 1)


def _gray(images: Tensor) -> Tensor:
    weights = constant(_GRAY_WEIGHTS, images.device)
    return (images * weights[:, None, None]).sum(1, keepdim=True)


def _hue(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by `shift` turns, through HSV."""
    top, bottom = images.amax(1), images.amin(1)
    chroma = top - bottom
    safe = torch.where(chroma == 0, torch.ones_like(chroma), chroma)
    red, green, blue = ((top[:, None] - images) / safe[:, None]).unbind(1)
    sector = torch.where(
        images[:, 0] == top, blue - green, torch.where(images[:, 1] == top, 2 + red - blue, 4 + green - red)
    )
    turned = (sector / 6 + shift[:, None, None]) % 1.0 * 6  # (B, H, W)
    # Channel n of HSV -> RGB is v - c max(0, min(k, 4 - k, 1)) with k = (n + 6 h) mod 6 (n = 5, 3, 1).
    k = (constant((5.0, 3.0, 1.0), images.device)[:, None, None] + turned[:, None]) % 6
    return top[:, None] - chroma[:, None] * torch.minimum(k, 4 - k).clamp(0, 1)


def _blur(images: Tensor, sigma: Tensor, largest: float) -> Tensor:
    """Separable Gaussian blur, one sigma per image and none above the largest, cut off at ceil(3 sigma), mirrored."""
    count, channels, height, width = images.shape
    radius = min(max(1, math.ceil(3 * largest)), min(height, width) - 1)
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (steps[None] / sigma[:, None]) ** 2)
    # Each image keeps its own radius: what is in the batch beside it must not change it.
    kernel = kernel * (steps.abs()[None] <= (3 * sigma).ceil().clamp(min=1)[:, None])
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)  # (B C, 2 r + 1)
    stacked = images.reshape(1, count * channels, height, width)
    padded = F.pad(stacked, (radius, radius, radius, radius), mode="reflect")
    rows = F.conv2d(padded, kernel[:, None, :, None], groups=count * channels)
    return F.conv2d(rows, kernel[:, None, None, :], groups=count * channels).reshape(images.shape)
