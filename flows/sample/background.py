"""Backgrounds of the sample: soft structures in two muted colors, none of which repeats like a surface pattern."""

from __future__ import annotations

import numpy as np

from flows.sample.colors import Color, hsv_color
from flows.sample.draws import Draws, Integers, cosine, sine


def draw_background(draws: Draws, side: int) -> Integers:
    """Draw a background (side, side, 3), values 0 to 255."""
    blend = draws.choice((_slope, _glow, _clouds, _blotches, _turf, _horizon))(draws, side).clip(0, 256)[..., None]
    first, other = np.array(_muted(draws)), np.array(_muted(draws))
    second = first + ((other - first) * draws.integer(15, 55) // 100)
    canvas: Integers = (first * (256 - blend) + second * blend) >> 8
    return canvas


def _muted(draws: Draws) -> Color:
    return hsv_color(draws.integer(0, 1535), draws.integer(10, 150), draws.integer(60, 230))


def _places(side: int) -> tuple[Integers, Integers]:
    """Return rows (side, 1) and columns (1, side) as places from -128 to 128."""
    place = np.arange(side, dtype=np.int64) * 256 // (side - 1) - 128
    return place[:, None], place[None, :]


def _noise(draws: Draws, side: int, cells: int) -> Integers:
    """Draw smooth noise (side, side) from 0 to 256: random corners, `cells` along each axis, blended in between."""
    corners = draws.integers(0, 256, (cells + 1) ** 2).reshape(cells + 1, cells + 1)
    place: Integers = np.arange(side, dtype=np.int64) * cells * 256 // side
    cell, linear = place // 256, place % 256
    part: Integers = linear * linear * (768 - 2 * linear) >> 16  # eases in and out, so that no cell shows
    rows: Integers = corners[cell] * (256 - part)[:, None] + corners[cell + 1] * part[:, None]
    noise: Integers = (rows[:, cell] * (256 - part) + rows[:, cell + 1] * part) >> 16
    return noise


def _slope(draws: Draws, side: int) -> Integers:
    y, x = _places(side)
    turn = draws.integer(0, 359)
    return 128 + ((y * sine(turn) + x * cosine(turn)) >> 10)


def _glow(draws: Draws, side: int) -> Integers:
    y, x = _places(side)
    return ((y - draws.integer(-100, 100)) ** 2 + (x - draws.integer(-100, 100)) ** 2) // draws.integer(90, 220)


def _clouds(draws: Draws, side: int) -> Integers:
    return (4 * _noise(draws, side, 3) + 2 * _noise(draws, side, 7) + _noise(draws, side, 15)) // 7


def _blotches(draws: Draws, side: int) -> Integers:
    return (_noise(draws, side, draws.integer(3, 6)) - 96) * 4


def _turf(draws: Draws, side: int) -> Integers:
    return (_noise(draws, side, 4) + _noise(draws, side, 31)) // 2


def _horizon(draws: Draws, side: int) -> Integers:
    y, x = _places(side)
    height = y - draws.integer(-60, 60) + (x * draws.integer(-40, 40) >> 7) + (_noise(draws, side, 5) >> 3)
    blend: Integers = 128 + height * 4 + (_noise(draws, side, 20) - 128 >> 2)
    return blend
