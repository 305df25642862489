"""Random resized crops: drawing their windows, and cutting these from a photograph and its label maps."""

import math
from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch.nn import functional as F

from stages.core.image_files import REDUCTIONS, UInt8

Interpolation = Literal["bilinear", "bicubic"]

_TRIES = 10
_RATIO = 4 / 3
_LOG_RATIO = math.log(_RATIO)


class Window(NamedTuple):
    """A rectangle of a photograph in the photograph's pixels, and whether the view is mirrored."""

    x: int
    y: int
    width: int
    height: int
    flip: bool


def sample_window(height: int, width: int, scale: tuple[float, float], flip: float, rng: np.random.Generator) -> Window:
    """Draw the window of a random resized crop.

    Args:
        height: Of the photograph, pixels.
        width: Of the photograph, pixels.
        scale: Smallest and largest share of the photograph's area.
        flip: Probability that the view is mirrored.
        rng: Source of randomness.

    Returns:
        The window; aspect ratio between 3/4 and 4/3, log-uniform.

    Source: torchvision's RandomResizedCrop (Szegedy et al. 2015, section 6), whose distribution this is.
    """
    for _ in range(_TRIES):
        share, shape, top, left, mirror = rng.random(5).tolist()  # Five calls would take longer than all the rest.
        area = height * width * (scale[0] + (scale[1] - scale[0]) * share)
        ratio = math.exp(_LOG_RATIO * (2 * shape - 1))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return Window(int(left * (width - w + 1)), int(top * (height - h + 1)), w, h, mirror < flip)
    return center_window(height, width, bool(rng.random() < flip))


def center_window(height: int, width: int, flip: bool = False) -> Window:
    """The largest centered window whose aspect ratio lies between 3/4 and 4/3."""
    w = min(width, round(height * _RATIO))
    h = min(height, round(width * _RATIO))
    return Window((width - w) // 2, (height - h) // 2, w, h, flip)


def largest_reduction(views: Iterable[tuple[Window, int]]) -> int:
    """The largest of `REDUCTIONS` by which a photograph may be shrunk so that no view, (window, side), is enlarged."""
    room = min(min(window.width, window.height) / size for window, size in views)
    return max(reduction for reduction in REDUCTIONS if reduction <= max(room, 1))


def align_window(window: Window, reduction: int) -> Window:
    """The window with its edges moved up and left onto whole pixels of the photograph at 1/reduction."""
    return _divide(window, reduction, reduction)


def reduce_window(window: Window, reduction: int) -> Window:
    """An aligned window in pixels of the photograph at 1/reduction."""
    return _divide(window, reduction, 1)


def _divide(window: Window, divisor: int, factor: int) -> Window:
    x, y, width, height = (side // divisor * factor for side in window[:4])
    return Window(x, y, width, height, window.flip)


def crop_and_resize(image: UInt8, window: Window, size: int, interpolation: Interpolation = "bilinear") -> UInt8:
    """Cut a window and resize it to a square, anti-aliased; not yet mirrored.

    Args:
        image: (H, W, 3) uint8.
        window: Part of it; what reaches beyond it is black.
        size: Side of the view in pixels.
        interpolation: Kind of interpolation.

    Returns:
        (size, size, 3) uint8.
    """
    top, left = max(window.y, 0), max(window.x, 0)
    inside = image[top : max(window.y + window.height, 0), left : max(window.x + window.width, 0)]
    if inside.shape[:2] != (window.height, window.width):
        whole = np.zeros((window.height, window.width, 3), np.uint8)
        whole[top - window.y :, left - window.x :][: inside.shape[0], : inside.shape[1]] = inside
        inside = whole
    # torch's kernel for bytes is a few times faster than Pillow's, and within 1 of it.
    planes = torch.from_numpy(np.array(inside[None], order="C")).permute(0, 3, 1, 2)
    return np.asarray(F.interpolate(planes, (size, size), mode=interpolation, antialias=True).permute(0, 2, 3, 1)[0])


def crop_map(
    label_map: npt.NDArray[np.generic], photo: tuple[int, int], window: Window, size: int
) -> npt.NDArray[np.generic]:
    """Cut the same window from a map of the photograph, by nearest neighbor; not yet mirrored.

    Args:
        label_map: (h, w); may be smaller than the photograph. A 1x1 map, which labels the whole photograph, stays 1x1.
        photo: Height and width of the photograph that the window refers to.
        window: In the photograph's pixels.
        size: Side of the result.

    Returns:
        (size, size), of the map's own type; 0 where the window reaches beyond the photograph.
    """
    if label_map.shape == (1, 1):
        return label_map
    rows, row_inside = _nearest(window.y, window.height, size, photo[0], label_map.shape[0])
    columns, column_inside = _nearest(window.x, window.width, size, photo[1], label_map.shape[1])
    found = label_map[rows[:, None], columns]
    if row_inside.all() and column_inside.all():
        return found
    return np.where(row_inside[:, None] & column_inside, found, np.zeros((), label_map.dtype))


def _nearest(
    start: int, length: int, size: int, photo: int, side: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows (or columns) of the map under those of the view, and which of these lie on the photograph."""
    centers = start + (np.arange(size) + 0.5) * (length / size)
    places = np.floor(centers * (side / photo)).astype(np.int64)
    return np.clip(places, 0, side - 1), (centers >= 0) & (centers < photo)


def resize_short_side(image: UInt8, side: int) -> UInt8:
    """Resize so that the shorter side is `side` pixels, anti-aliased bilinear; rounds as torchvision's Resize does."""
    height, width = image.shape[:2]
    short = min(height, width)
    return squash(image, (side * height // short, side * width // short))


def center_crop(image: UInt8, size: int) -> UInt8:
    """Cut the centered square of `size` pixels; the image must be at least that large. Rounds as torchvision does."""
    top, left = round((image.shape[0] - size) / 2), round((image.shape[1] - size) / 2)
    return image[top : top + size, left : left + size]


def squash(image: UInt8, size: tuple[int, int]) -> UInt8:
    """Resize to a height and width whatever the aspect, anti-aliased bilinear."""
    return np.asarray(Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR))
