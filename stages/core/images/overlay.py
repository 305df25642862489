"""Categories as colors: a palette that stays the same, overlays on photographs."""

import colorsys

import numpy as np
import numpy.typing as npt

from stages.core.images.decode import UInt8

_GOLDEN_TURN = 0.61803398875
_BORDER = (255, 255, 255)


def category_colors(count: int) -> UInt8:
    """Colors of ids 0..count.

    Neighboring ids differ clearly in hue; the first colors do not depend on how many there are. 0, the background,
    is black.

    Returns:
        (count + 1, 3) uint8 RGB.
    """
    colors = [(0.0, 0.0, 0.0)]
    for number in range(count):
        lightness, saturation = (0.55, 0.85) if number % 2 == 0 else (0.42, 0.7)
        colors.append(colorsys.hls_to_rgb((0.02 + number * _GOLDEN_TURN) % 1, lightness, saturation))
    return np.round(np.array(colors) * 255).astype(np.uint8)


def overlay(image: UInt8, label: npt.NDArray[np.integer], colors: UInt8, opacity: float = 0.55) -> UInt8:
    """Lay the colors of a label map over a photograph; the background stays as it is, categories get a white edge.

    Args:
        image: (H, W, 3) uint8.
        label: (H, W) ids that index `colors`; 0 is background.
        colors: (n, 3) uint8.
        opacity: Of the colors, 0..1.
    """
    painted = (1 - opacity) * image + opacity * colors[label]
    shown = np.where((label > 0)[..., None], painted, image)
    edge = np.zeros(label.shape, bool)
    edge[:, 1:] |= label[:, 1:] != label[:, :-1]
    edge[1:] |= label[1:] != label[:-1]
    shown[edge] = _BORDER
    return shown.round().astype(np.uint8)
