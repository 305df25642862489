"""Draws one image of the sample and its mask, in integer arithmetic."""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.sample.background import draw_background
from flows.sample.colors import draw_colors
from flows.sample.draws import Draws, Integers, cosine, sine
from flows.sample.figures import CATEGORIES, Figure, Plane

SIDE = 96
"""Height and width of every image in pixels."""
IGNORE = 1000
"""Mask value of pixels that are not scored, as in ImageNet-S."""
_SAMPLES = 3  # points per pixel along each axis: edges are smooth
_SIZE_GROUPS = ((2, 5, 6), (12, 25, 32), (25, 50, 44), (52, 66, 18))  # area from, to (% of the image); how many in 100


class Pose(NamedTuple):
    """Where a figure lies: center (y, x) and radius in 1/16 pixel, rotation in degrees."""

    center: tuple[int, int]
    radius: int
    turn: int


class Scene(NamedTuple):
    """An image (SIDE, SIDE, 3) and its mask (SIDE, SIDE): 0 other, class ids from 1, 1000 = ignore."""

    image: NDArray[np.uint8]
    mask: NDArray[np.uint16]


def draw_scene(key: str, category: int) -> Scene:
    """Draw the image that belongs to `key`, showing an object of `CATEGORIES[category]`.

    About one image in ten shows a smaller object of another category behind the first one.
    """
    draws = Draws(key)
    canvas = draw_background(draws, SIDE)
    mask = np.zeros((SIDE, SIDE), np.uint16)
    _draw_clutter(canvas, draws)
    pose = _draw_pose(draws, category)
    if draws.happens(10):
        other = (category + draws.integer(1, len(CATEGORIES) - 1)) % len(CATEGORIES)
        _paint(canvas, mask, other, _beside(pose, draws), draws)
    _paint(canvas, mask, category, pose, draws)
    _mark_borders(mask, draws)
    return Scene(_light(canvas, draws), mask)


def _draw_pose(draws: Draws, category: int) -> Pose:
    percents = [group for group in _SIZE_GROUPS for _ in range(group[2])]
    smallest, largest, _ = draws.choice(percents)
    area = draws.integer(smallest * 100, largest * 100) * SIDE**2 * 256 // 10000  # in (1/16 pixel)^2
    radius = isqrt(area * 1024**2 // _figure_area(CATEGORIES[category].shape))
    margin = min(8 * SIDE, max(radius * 3 // 4, 0))
    center = draws.integer(margin, 16 * SIDE - margin), draws.integer(margin, 16 * SIDE - margin)
    return Pose(center, radius, draws.integer(-30, 30))


def _beside(pose: Pose, draws: Draws) -> Pose:
    """Draw the pose of a second, smaller figure on the other side of the image."""
    radius = max(16 * 9, pose.radius * draws.integer(40, 60) // 100)
    corner = [SIDE * (12 if place < 8 * SIDE else 4) + draws.integer(-64, 64) for place in pose.center]
    return Pose((corner[0], corner[1]), radius, draws.integer(-30, 30))


@cache
def _figure_area(shape: Figure) -> int:
    """Return a shape's area in its own coordinates, counted on a grid."""
    grid = np.arange(-1020, 1024, 8, dtype=np.int64)
    return int(shape(grid[None, :], grid[:, None]).sum()) * 64


class _Patch(NamedTuple):
    """The part of the image that a figure can touch."""

    window: tuple[slice, slice]
    u: Integers
    v: Integers
    """The figure's own coordinates at the patch's points, `_SAMPLES` per pixel along each axis."""


def _patch(pose: Pose) -> _Patch:
    rows, columns = (_reach(place, pose.radius) for place in pose.center)
    y, x = _points(rows) - pose.center[0], _points(columns) - pose.center[1]
    scale, c, s = 2**20 // pose.radius, cosine(pose.turn), sine(pose.turn)
    u = (x * c)[None, :] + (y * s)[:, None]
    v = (y * c)[:, None] - (x * s)[None, :]
    return _Patch((rows, columns), u * scale >> 20, v * scale >> 20)


def _reach(place: int, radius: int) -> slice:
    """Return the pixels, along one axis, that a figure at `place` with this radius can touch."""
    return slice(max((place - radius) // 16, 0), min((place + radius) // 16 + 1, SIDE))


def _points(pixels: slice) -> Integers:
    """Return where the points inside a range of pixels lie, in 1/16 pixel."""
    number = np.arange(_SAMPLES * pixels.start, _SAMPLES * pixels.stop, dtype=np.int64)
    return (2 * number + 1) * 8 // _SAMPLES


def _per_pixel(plane: Plane) -> Integers:
    """Count the points of a plane inside each pixel, (h, w, 1)."""
    height, width = plane.shape[0] // _SAMPLES, plane.shape[1] // _SAMPLES
    counts: Integers = plane.reshape(height, _SAMPLES, width, _SAMPLES).sum(axis=(1, 3), dtype=np.int64)
    return counts[..., None]


def _paint(canvas: Integers, mask: NDArray[np.uint16], category: int, pose: Pose, draws: Draws) -> None:
    """Paint an object of a category and write its class id into the mask."""
    window, u, v = _patch(pose)
    inside = CATEGORIES[category].shape(u, v)
    cover, accent = _per_pixel(inside), _per_pixel(CATEGORIES[category].pattern(u, v) & inside)
    base_color, accent_color = draw_colors(draws, canvas)
    surface = np.array(base_color) * (cover - accent) + np.array(accent_color) * accent
    strength, turn = draws.integer(0, 60), draws.integer(0, 359)  # the side towards the light is brighter
    towards = (u * cosine(turn) + v * sine(turn) >> 10)[1::_SAMPLES, 1::_SAMPLES, None].clip(-1024, 1024)
    surface = surface * (256 + (towards * strength >> 10)) >> 8
    canvas[window] = (surface + canvas[window] * (_SAMPLES**2 - cover)) // _SAMPLES**2
    mask[window][2 * cover[..., 0] > _SAMPLES**2] = category + 1


def _draw_clutter(canvas: Integers, draws: Draws) -> None:
    """Paint up to four small plain bits: discs, ovals, tiles and bars without a surface pattern."""
    for _ in range(draws.integer(0, 4)):
        center = draws.integer(0, 16 * SIDE), draws.integer(0, 16 * SIDE)
        window, u, v = _patch(Pose(center, 16 * draws.integer(3, 7), draws.integer(0, 179)))
        v = v * draws.choice((1, 1, 2, 3))
        inside = u**2 + v**2 <= 1024**2 if draws.happens(50) else np.maximum(np.abs(u), np.abs(v)) <= 720
        cover = _per_pixel(inside)
        color = np.array(draw_colors(draws, canvas)[0])
        canvas[window] = (color * cover + canvas[window] * (_SAMPLES**2 - cover)) // _SAMPLES**2


def _mark_borders(mask: NDArray[np.uint16], draws: Draws) -> None:
    """Set a band of one or two pixels around object borders to `IGNORE`, on two images in five."""
    if not draws.happens(40):
        return
    band = np.zeros(mask.shape, np.bool_)
    down, across = mask[1:] != mask[:-1], mask[:, 1:] != mask[:, :-1]
    band[1:] |= down
    band[:, 1:] |= across
    if draws.happens(60):
        band[:-1] |= down
        band[:, :-1] |= across
    mask[band] = IGNORE


def _light(canvas: Integers, draws: Draws) -> NDArray[np.uint8]:
    """Light the scene from one side and add the grain of a camera."""
    turn, strength, brightness = draws.integer(0, 359), draws.integer(0, 50), draws.integer(225, 275)
    place = 2 * np.arange(SIDE, dtype=np.int64) - SIDE
    slope = (place[:, None] * sine(turn) + place[None, :] * cosine(turn)) // SIDE  # -1448 to 1448
    grain = draws.integers(-4, 4, SIDE * SIDE * 3).reshape(SIDE, SIDE, 3)
    lit = (canvas * (brightness + (slope * strength >> 10))[..., None] >> 8) + grain
    return lit.clip(0, 255).astype(np.uint8)
