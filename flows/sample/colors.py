"""Colors of the sample's objects, drawn without regard to their category."""

from __future__ import annotations

from flows.sample.draws import Draws, Integers

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""


def hsv_color(hue: int, saturation: int, value: int) -> Color:
    """Convert a hue (0 to 1535, six sextants of 256), a saturation and a value (0 to 255) to RGB."""
    sextant, part = divmod(hue % 1536, 256)
    low = value * (255 - saturation) // 255
    falling, rising = low + (value - low) * (255 - part) // 255, low + (value - low) * part // 255
    by_sextant = (
        (value, rising, low),
        (falling, value, low),
        (low, value, rising),
        (low, falling, value),
        (rising, low, value),
        (value, low, falling),
    )
    return by_sextant[sextant]


def luma(color: Color) -> int:
    """Return a color's brightness, 0 to 255 (weights of ITU-R BT.601)."""
    return (77 * color[0] + 150 * color[1] + 29 * color[2]) >> 8


def draw_colors(draws: Draws, canvas: Integers) -> tuple[Color, Color]:
    """Draw a surface's two colors: the first one much brighter, and unlike the canvas' mean color."""
    around = [int(channel) for channel in canvas.sum(axis=(0, 1)) // (canvas.shape[0] * canvas.shape[1])]
    while True:
        base = _any_color(draws)
        accent = _any_color(draws)
        unlike = sum(abs(mine - theirs) for mine, theirs in zip(base, around, strict=True))
        if luma(base) - luma(accent) >= 80 and unlike >= 150:
            return base, accent


def _any_color(draws: Draws) -> Color:
    return hsv_color(draws.integer(0, 1535), draws.integer(40, 225), draws.integer(50, 250))
