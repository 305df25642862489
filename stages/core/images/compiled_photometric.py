"""Photometric augmentation, flipping and normalization of views on the CPU, compiled by Numba.

Arithmetic is in float32 throughout, and loops run over whole planes without branches, so that they become vector code.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from stages.core.jit import kernel

ORDERS = np.array(list(itertools.permutations(range(4))))
"""(24, 4): in which order brightness, contrast, saturation and hue (0 to 3) are changed."""

_0, _1, _2, _4, _6 = (np.float32(value) for value in (0, 1, 2, 4, 6))
_RED, _GREEN, _BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)
_TO_SHARE = np.float32(1 / 255)
_LANES = 256
_SOLARIZE_FROM = np.float32(128 / 255)


def augment_views_compiled(pixels: Tensor, photometric: Tensor, flip: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Mirror, recolor and normalize a batch of views: `augment_views` on the CPU, several times faster."""
    channels_last = pixels.permute(0, 2, 3, 1).numpy()
    result = np.empty(channels_last.shape, np.float32)
    planes = np.empty((3, *channels_last.shape[1:3]), np.uint8)
    image = np.empty(planes.shape, np.float32)
    norm = torch.stack([mean, 1 / std]).numpy()
    for number, row in enumerate(photometric.numpy()):
        view = channels_last[number]
        cv2.split(cv2.flip(view, 1) if flip[number] else view, list(planes))
        _change_colors(planes.reshape(3, -1), row, ORDERS, image.reshape(3, -1))
        if row[6] > 0:
            _blur(image, float(row[6]))
        _normalize(image.reshape(3, -1), row[7] > 0, norm)
        cv2.merge(list(image), result[number])
    return torch.from_numpy(result).permute(0, 3, 1, 2)


def _blur(image: NDArray[np.float32], sigma: float) -> None:
    """Gaussian blur of an image (3, H, W), cut off at ceil(3 sigma), edges mirrored."""
    radius = min(max(math.ceil(3 * sigma), 1), min(image.shape[1:]) - 1)
    for plane in image:
        cv2.GaussianBlur(plane, (2 * radius + 1, 2 * radius + 1), sigma, plane, borderType=cv2.BORDER_REFLECT_101)


@kernel
def _change_colors(pixels: Any, row: Any, orders: Any, planes: Any) -> None:
    for c in range(3):
        _to_shares(pixels[c], planes[c])
    if row[4] >= 0:
        for number in orders[int(row[4])]:
            _jitter(planes, number, row[number])
    if row[5] > 0:
        _blend_with_gray(planes, _0)


@kernel
def _to_shares(values: Any, shares: Any) -> None:
    for i in range(len(values)):
        shares[i] = np.float32(values[i]) * _TO_SHARE


@kernel
def _normalize(planes: Any, solarize: bool, norm: Any) -> None:
    """Subtract norm[0] of each channel, multiply by norm[1]."""
    if solarize:
        _solarize(planes.reshape(-1))
    for c in range(3):
        plane, mean, factor = planes[c], norm[0, c], norm[1, c]
        for i in range(len(plane)):
            plane[i] = (plane[i] - mean) * factor


@kernel
def _clip(value: Any) -> Any:
    low = value if value > _0 else _0
    return low if low < _1 else _1


@kernel
def _jitter(planes: Any, number: int, factor: Any) -> None:
    if number == 0:
        _mix(planes, factor, _0)
    elif number == 1:
        _mix(planes, factor, (_1 - factor) * _mean_gray(planes))
    elif number == 2:
        _blend_with_gray(planes, factor)
    else:
        _turn_hue(planes, factor)


@kernel
def _mix(planes: Any, factor: Any, added: Any) -> None:
    values = planes.reshape(-1)
    for i in range(len(values)):
        values[i] = _clip(values[i] * factor + added)


@kernel
def _mean_gray(planes: Any) -> Any:
    total = 0.0
    for c, weight in enumerate((_RED, _GREEN, _BLUE)):
        # Many sums side by side: to a single one pixels would be added one by one.
        sums, plane = np.zeros(_LANES, np.float32), planes[c]
        for start in range(0, len(plane), _LANES):
            _add(plane[start : start + _LANES], sums)
        total += weight * sums.sum()
    return np.float32(total / planes.shape[1])


@kernel
def _add(values: Any, sums: Any) -> None:
    for i in range(len(values)):
        sums[i] += values[i]


@kernel
def _blend_with_gray(planes: Any, factor: Any) -> None:
    red, green, blue = planes[0], planes[1], planes[2]
    for i in range(len(red)):
        gray = (_1 - factor) * (_RED * red[i] + _GREEN * green[i] + _BLUE * blue[i])
        red[i] = _clip(factor * red[i] + gray)
        green[i] = _clip(factor * green[i] + gray)
        blue[i] = _clip(factor * blue[i] + gray)


@kernel
def _turn_hue(planes: Any, shift: Any) -> None:
    """Turn the hue by `shift` turns, -1/2 to 1/2, through HSV."""
    red, green, blue, turn = planes[0], planes[1], planes[2], shift * _6
    for i in range(len(red)):
        r, g, b = red[i], green[i], blue[i]
        top = r if r > g else g
        top = top if top > b else b
        low = r if r < g else g
        low = low if low < b else b
        chroma = top - low
        scale = _1 / (chroma if chroma > _0 else _1)
        hue = (g - b) * scale if r == top else (_2 + (b - r) * scale if g == top else _4 + (r - g) * scale)
        hue += turn
        hue = hue + _6 if hue < _0 else hue
        hue = hue - _6 if hue >= _6 else hue
        red[i] = top - chroma * _ramp(hue + np.float32(5))
        green[i] = top - chroma * _ramp(hue + np.float32(3))
        blue[i] = top - chroma * _ramp(hue + np.float32(1))


@kernel
def _ramp(place: Any) -> Any:
    """How much of the chroma a channel lacks, at a place of the hue's circle: 0 to 12, twice around."""
    place = place - _6 if place >= _6 else place
    other = _4 - place
    return _clip(place if place < other else other)


@kernel
def _solarize(values: Any) -> None:
    for i in range(len(values)):
        values[i] = values[i] if values[i] < _SOLARIZE_FROM else _1 - values[i]
