"""The figures of the sample: ten shapes and ten surface patterns, in integer arithmetic.

Both are functions of a figure's own coordinates `u` (right) and `v` (down), integers in which the circumscribed circle
has the radius 1024. A shape returns where the figure is, a pattern where its surface has the second of its two colors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flows.sample.draws import Integers, cosine, sine

Plane = NDArray[np.bool_]
"""A yes-or-no value per point (H, W)."""
Figure = Callable[[Integers, Integers], Plane]


class Category(NamedTuple):
    """A category is a shape together with a surface pattern; everything else about its objects is left to chance."""

    name: str
    shape: Figure
    pattern: Figure


def _circle(u: Integers, v: Integers, center: tuple[int, int], radius: int) -> Plane:
    return (u - center[0]) ** 2 + (v - center[1]) ** 2 <= radius**2


def _disc(u: Integers, v: Integers) -> Plane:
    return _circle(u, v, (0, 0), 1000)


def _square(u: Integers, v: Integers) -> Plane:
    return np.maximum(np.abs(u), np.abs(v)) <= 724


def _triangle(u: Integers, v: Integers) -> Plane:
    return (v <= 512) & (1774 * np.abs(u) <= 1024 * (v + 1024))


def _star(u: Integers, v: Integers) -> Plane:
    return _triangle(u, v) | _triangle(u, -v)


def _ring(u: Integers, v: Integers) -> Plane:
    return _disc(u, v) & ~_circle(u, v, (0, 0), 430)


def _cross(u: Integers, v: Integers) -> Plane:
    return (np.minimum(np.abs(u), np.abs(v)) <= 330) & (np.maximum(np.abs(u), np.abs(v)) <= 970)


def _crescent(u: Integers, v: Integers) -> Plane:
    return _disc(u, v) & ~_circle(u, v, (560, -200), 720)


def _heart(u: Integers, v: Integers) -> Plane:
    lobes = _circle(np.abs(u), v, (420, -300), 505)
    return lobes | ((np.abs(u) + np.abs(v + 60) <= 930) & (v >= -300))


def _flower(u: Integers, v: Integers) -> Plane:
    turns = range(-90, 270, 72)
    petals = [_circle(u, v, (620 * cosine(turn) // 1024, 620 * sine(turn) // 1024), 370) for turn in turns]
    return reduce(np.logical_or, petals, _circle(u, v, (0, 0), 480))


def _drop(u: Integers, v: Integers) -> Plane:
    return _circle(u, v, (0, 340), 640) | ((v <= 100) & (v >= -1024) & (1124 * np.abs(u) <= 590 * (v + 1024)))


def _is_odd(number: Integers) -> Plane:
    odd: Plane = number % 2 == 1
    return odd


def _stripes(u: Integers, v: Integers) -> Plane:
    return _is_odd((u + 4096 + 110) // 220)


def _checks(u: Integers, v: Integers) -> Plane:
    return _is_odd((u + 4096) // 300 + (v + 4096) // 300)


def _dots(u: Integers, v: Integers) -> Plane:
    row = (v + 4096) // 330
    return _circle((u + 4096 + 190 * (row % 2)) % 380, (v + 4096) % 330, (190, 165), 115)


def _lattice(u: Integers, v: Integers) -> Plane:
    return ((u + v + 8192) % 420 < 120) | ((u - v + 8192) % 420 < 120)


def _rays(u: Integers, v: Integers) -> Plane:
    sides = [u * sine(turn) > (v - 60) * cosine(turn) for turn in range(0, 180, 20)]
    return reduce(np.logical_xor, sides)


def _rings(u: Integers, v: Integers) -> Plane:
    squared = u**2 + v**2
    return reduce(np.logical_xor, [squared <= radius**2 for radius in range(170, 1400, 170)])


def _scales(u: Integers, v: Integers) -> Plane:
    row = (v + 4096) // 230
    u, v = (u + 4096 + 230 * (row % 2)) % 460, (v + 4096) % 230
    squared = (u - 230) ** 2 + v**2
    return (squared > 160**2) & (squared <= 240**2)


def _speckles(u: Integers, v: Integers) -> Plane:
    column, row = (u + 4096) // 240, (v + 4096) // 240
    scrambled = (column * 7919 + row * 104729 + column * row * 613) % 1009
    center_u, center_v = 80 + scrambled % 81, 80 + scrambled // 7 % 81
    distance = ((u + 4096) % 240 - center_u) ** 2 + ((v + 4096) % 240 - center_v) ** 2
    inside: Plane = distance <= (40 + scrambled % 50) ** 2
    return inside


def _bricks(u: Integers, v: Integers) -> Plane:
    row = (v + 4096) // 260
    return ((v + 4096) % 260 < 75) | ((u + 4096 + 230 * (row % 2)) % 460 < 75)


def _zigzag(u: Integers, v: Integers) -> Plane:
    return _is_odd((v + 4096 + np.abs((u + 4096) % 480 - 240)) // 170)


CATEGORIES = (
    Category("bricked_drop", _drop, _bricks),
    Category("checked_heart", _heart, _checks),
    Category("dotted_star", _star, _dots),
    Category("latticed_disc", _disc, _lattice),
    Category("rayed_triangle", _triangle, _rays),
    Category("ringed_square", _square, _rings),
    Category("scaled_crescent", _crescent, _scales),
    Category("speckled_cross", _cross, _speckles),
    Category("striped_flower", _flower, _stripes),
    Category("zigzag_ring", _ring, _zigzag),
)
"""In sorted order: the class id of a category is its position + 1, as in ImageNet-S."""
