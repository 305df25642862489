"""ViCE's views: one around a point of high edge density, the others around it in different directions."""

import math
from typing import Literal, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.config.views import SectorViewConfig
from stages.core.image_files import UInt8
from stages.core.images.crops import Window, crop_and_resize
from stages.core.images.views import LazyPhoto, View, draw_photometric

_CANNY = (10, 50)
_EVERYWHERE = 0.005
_CONCENTRATION = 2.0


def draw_sector_views(photo: LazyPhoto, config: SectorViewConfig, rng: np.random.Generator) -> list[View]:
    """Draw and cut all views of a photograph."""
    image = photo.read(1)
    windows = draw_windows(image, config, rng)
    return [
        View(window, crop_and_resize(image, window, config.size, "bicubic"), draw_photometric(config.photometric, rng))
        for window in windows
    ]


def draw_windows(image: UInt8, config: SectorViewConfig, rng: np.random.Generator) -> list[Window]:
    """The windows of all views, in the photograph's pixels; all of them hold one common point.

    A window that is larger than the frame reaches beyond it, and may reach beyond the photograph.
    """
    frame = _find_frame(image.shape[0], image.shape[1], config.frame)
    longer = max(frame.height, frame.width)
    scale = min(max(longer, config.side[0]), config.side[1]) / longer
    point = _draw_point(image, frame, scale, rng)
    sides = [max(round(rng.uniform(*config.zoom) * config.size / scale), 1) for _ in range(config.count)]
    sectors = config.count - 1
    others = [_draw_center(point, sector, sectors, side, rng) for sector, side in enumerate(sides[1:])]
    return [
        Window(
            _move_inside(x - side / 2, side, frame.x, frame.width),
            _move_inside(y - side / 2, side, frame.y, frame.height),
            side,
            side,
            bool(rng.random() < config.flip),
        )
        for (x, y), side in zip([point, *others], sides, strict=True)
    ]


def _draw_center(
    point: tuple[float, float], sector: int, sectors: int, side: int, rng: np.random.Generator
) -> tuple[float, float]:
    """A center in one of the sectors around the point, so near that the view holds the point."""
    share = _draw_share(0.5, rng)
    angle = 2 * math.pi * (sector + share) / sectors
    radius = _draw_share(0.75, rng) * (side - 1) / 2  # One less, so that rounding leaves the point inside.
    return point[0] + radius * math.cos(angle), point[1] + radius * math.sin(angle)


class _Frame(NamedTuple):
    x: int
    y: int
    width: int
    height: int


def _find_frame(height: int, width: int, kind: Literal["square", "whole"]) -> _Frame:
    if kind == "whole":
        return _Frame(0, 0, width, height)
    side = min(height, width)
    return _Frame((width - side) // 2, (height - side) // 2, side, side)


def edge_density(image: UInt8) -> npt.NDArray[np.float64]:
    """Probability (H, W) of each pixel of an image (H, W, 3) to be the point that all views share; adds up to 1.

    Source: ViCE's code: Canny's edges of the blurred gray image, widened, blurred, and a little everywhere.
    """
    gray = cv2.blur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (3, 3))
    edges = cv2.Canny(gray, *_CANNY, L2gradient=True)
    spread = cv2.GaussianBlur(cv2.dilate(edges, np.ones((3, 3), np.uint8)), (3, 3), 0)
    weights = spread.astype(np.float64) / 255 + _EVERYWHERE
    return np.asarray(weights / weights.sum())


def _draw_point(image: UInt8, frame: _Frame, scale: float, rng: np.random.Generator) -> tuple[float, float]:
    """A point of the frame in the photograph's pixels, by the density of edges at the scale that views are cut at."""
    inside = image[frame.y : frame.y + frame.height, frame.x : frame.x + frame.width]
    size = max(round(frame.width * scale), 1), max(round(frame.height * scale), 1)
    heaped = edge_density(np.asarray(cv2.resize(inside, size, interpolation=cv2.INTER_AREA), np.uint8)).cumsum()
    place = min(int(np.searchsorted(heaped, rng.random() * heaped[-1], side="right")), heaped.size - 1)
    y, x = divmod(place, size[0])
    return frame.x + (x + 0.5) * frame.width / size[0], frame.y + (y + 0.5) * frame.height / size[1]


def _draw_share(mode: float, rng: np.random.Generator) -> float:
    """A number in 0..1: a von Mises angle, mapped linearly, most likely at the mode."""
    around = 2 * math.pi * mode - math.pi
    return (rng.vonmises(around, _CONCENTRATION) + math.pi) / (2 * math.pi)


def _move_inside(start: float, length: int, low: int, room: int) -> int:
    """The start nearest to the one given at which the length lies inside; centered if it is longer than the room."""
    if length >= room:
        return low + (room - length) // 2
    return min(max(round(start), low), low + room - length)
