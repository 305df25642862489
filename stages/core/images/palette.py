"""The one palette: the color of a category wherever it is shown."""

import colorsys

import numpy as np

from stages.core.image_files import UInt8


def color(number: int) -> tuple[int, int, int]:
    """RGB of an id: hues a golden angle apart, so that neighbors differ."""
    hue, ring = (0.08 + number * 0.381966) % 1, number % 3
    red, green, blue = colorsys.hls_to_rgb(hue, (0.52, 0.42, 0.64)[ring], (0.78, 0.72, 0.7)[ring])
    return round(255 * red), round(255 * green), round(255 * blue)


def css_color(number: int) -> str:
    """The color of an id as CSS writes it."""
    return "#{:02x}{:02x}{:02x}".format(*color(number))


def category_colors(count: int) -> UInt8:
    """Colors of the ids 0..count, (count + 1, 3) uint8 RGB; 0, the background, is black."""
    return np.array([(0, 0, 0), *(color(number) for number in range(1, count + 1))], np.uint8)
