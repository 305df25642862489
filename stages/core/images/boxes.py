"""Rectangular parts of photographs."""

from collections.abc import Sequence

from stages.core.image_files import UInt8


def crop_box(photo: UInt8, box: Sequence[float]) -> UInt8:
    """The part of a photograph (H, W, 3) in a box of x, y, width, height as shares; at least a pixel."""
    height, width = photo.shape[:2]
    left, top = min(round(box[0] * width), width - 1), min(round(box[1] * height), height - 1)
    right, bottom = round((box[0] + box[2]) * width), round((box[1] + box[3]) * height)
    return photo[top : max(bottom, top + 1), left : max(right, left + 1)]
