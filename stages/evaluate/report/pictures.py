"""Photographs and maps as small pictures: colors of ids, panels of truth, prediction and errors."""

from __future__ import annotations

import base64
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.images.palette import color
from stages.core.images.working_size import shrink
from stages.core.metrics.kernels import UInt8, UInt16
from stages.core.metrics.matching import UNMATCHED

PANEL_SIDE = 288
THUMBNAIL_SIDE = 96
_JPEG_QUALITY = 84

ERRORS = {
    "right": (0, 158, 115),
    "wrong class": (204, 121, 167),
    "missed": (86, 180, 233),
    "false object": (213, 94, 0),
    "not scored": (128, 128, 128),
}
"""Colors of the error panel, told apart in all common kinds of color blindness (Okabe and Ito)."""

_NO_CLASS = 65535
"""Id of pixels whose cluster belongs to no class, in matched predictions."""


class Panels(NamedTuple):
    """(h, w, 3) uint8 RGB pictures of one photograph; truth and errors only where there is a mask."""

    photo: UInt8
    prediction: UInt8
    truth: UInt8 | None = None
    errors: UInt8 | None = None


def thumbnail(photo: UInt8) -> UInt8:
    """The center square of a photograph, (96, 96, 3)."""
    side = min(photo.shape[:2])
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    square = photo[top : top + side, left : left + side]
    area = cv2.INTER_AREA if side > THUMBNAIL_SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=area))


def apply_match(pred: UInt16, match: npt.NDArray[np.int64]) -> UInt16:
    """Class ids of a prediction; clusters without a class become 65535."""
    return np.where(match == UNMATCHED, _NO_CLASS, match).astype(np.uint16)[pred]


def make_panels(photo: UInt8, pred: UInt16, true: UInt16 | None = None, ignore: int = -1) -> Panels:
    """Picture a prediction, in class ids where there is a mask and in cluster ids otherwise."""
    small = shrink(photo, PANEL_SIDE)
    pred = _resize_ids(pred, small)
    if true is None:
        return Panels(small, _paint(small, pred, ignore))
    true = _resize_ids(true, small)
    return Panels(
        small, _paint(small, pred, ignore), _paint(small, true, ignore), _paint_errors(small, pred, true, ignore)
    )


def join_panels(panels: Panels) -> UInt8:
    """All panels side by side, white gaps between them."""
    pictures = [
        picture for picture in (panels.photo, panels.truth, panels.prediction, panels.errors) if picture is not None
    ]
    gap = np.full((pictures[0].shape[0], 6, 3), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)


def encode_jpeg(picture: UInt8) -> bytes:
    """Encode (h, w, 3) RGB as JPEG; equal pixels give equal bytes."""
    done, data = cv2.imencode(
        ".jpg", np.ascontiguousarray(picture[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not done:
        raise ValueError(f"cannot encode a picture of shape {picture.shape} as JPEG")
    return bytes(data.tobytes())


def data_uri(picture: UInt8) -> str:
    """A picture as an address that needs no file."""
    return "data:image/jpeg;base64," + base64.b64encode(encode_jpeg(picture)).decode()


def _resize_ids(ids: UInt16, like: UInt8) -> UInt16:
    return np.asarray(cv2.resize(ids, (like.shape[1], like.shape[0]), interpolation=cv2.INTER_NEAREST))


def _paint(photo: UInt8, ids: UInt16, ignore: int) -> UInt8:
    colors = {int(value): color(int(value)) for value in np.unique(ids) if value not in (0, ignore)}
    if ignore in ids:
        colors[ignore] = ERRORS["not scored"]
    return _blend(photo, {value: ids == value for value in colors}, colors)


def _paint_errors(photo: UInt8, pred: UInt16, true: UInt16, ignore: int) -> UInt8:
    scored = true != ignore
    regions = {
        0: scored & (true > 0) & (pred == true),
        1: scored & (true > 0) & (pred > 0) & (pred != true),
        2: scored & (true > 0) & (pred == 0),
        3: scored & (true == 0) & (pred > 0),
        4: ~scored,
    }
    return _blend(photo, regions, dict(enumerate(ERRORS.values())))


def _blend(photo: UInt8, regions: dict[int, npt.NDArray[np.bool_]], colors: dict[int, tuple[int, int, int]]) -> UInt8:
    """Lay colors over a gray and fading photograph, with a light line around every region."""
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY).astype(np.float32)
    picture = np.repeat((0.55 * gray + 60)[..., None], 3, 2)
    lines = np.zeros(gray.shape, bool)
    for number, region in regions.items():
        picture[region] = 0.38 * picture[region] + 0.62 * np.array(colors[number], np.float32)
        inner = cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8))
        lines |= region & (inner == 0)
    picture[lines] = 0.35 * picture[lines] + 0.65 * 255
    return picture.clip(0, 255).astype(np.uint8)
