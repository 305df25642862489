"""Label maps laid over photographs."""

import numpy as np
import numpy.typing as npt

from stages.core.image_files import UInt8

_BORDER = (255, 255, 255)


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
