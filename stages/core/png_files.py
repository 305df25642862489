"""PNG files: masks of data sets, and the maps that artifacts and results hold."""

import struct
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.image_files import MAX_PIXELS, UnreadableImage, is_upright, open_image, read_bytes

_GRAY, _RGB, _PALETTE = 0, 2, 3
_COLOR_TYPES = {_PALETTE: "a palette", 4: "gray with alpha", 6: "RGB with alpha"}

Int32 = npt.NDArray[np.int32]


def read_mask(path: str | Path, indexed: bool = False) -> Int32:
    """Decode a segmentation mask.

    Args:
        path: In the ImageNet-S format: RGB PNG with id = R + 256 G, or a single-channel PNG of up to 16 bits that holds
            the ids.
        indexed: In the format of Pascal VOC, COCO-Stuff and Cityscapes: a single-channel PNG that holds the ids, or one
            with a palette whose indices are the ids.

    Returns:
        (H, W) int32 ids.

    Raises:
        UnreadableImage: Missing, broken, a PNG of another kind (whose ids would be a guess), or one with an orientation
            other than upright (whose places would be).
    """
    return decode_mask(read_bytes(path), str(path), indexed)


def decode_mask(data: bytes, name: str, indexed: bool = False) -> Int32:
    """Decode the bytes of a mask; `name` stands in the error. See `read_mask`."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise UnreadableImage(f"{name}: {'not a PNG' if data else 'empty file'}; masks are lossless PNG files")
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{name}: more than the {MAX_PIXELS} pixels that are decoded")
    _check_kind(name, color_type, depth, indexed)
    if b"eXIf" in data or color_type == _PALETTE:
        with open_image(data, name) as image:
            if not is_upright(image):
                raise UnreadableImage(f"{name}: PNG whose EXIF asks for a turn; save it upright, without that tag")
            if color_type == _PALETTE:
                return np.asarray(image, np.int32)
    pixels = _decode(data, name)
    if pixels.ndim == 3:
        # The bytes G, R of BGR, read as one big-endian number, are the id.
        return np.ndarray(pixels.shape[:2], ">u2", pixels.data, 1, pixels.strides[:2]).astype(np.int32)
    # The decoder spreads 1, 2 and 4 bits over 0..255.
    return pixels.astype(np.int32) // (255 // (2**depth - 1) if depth < 8 else 1)


def _check_kind(name: str, color_type: int, depth: int, indexed: bool) -> None:
    kind = _COLOR_TYPES.get(color_type, f"color type {color_type} and {depth} bits")
    if indexed and color_type not in (_GRAY, _PALETTE):
        raise UnreadableImage(
            f"{name}: PNG with {'RGB' if color_type == _RGB else kind}; masks of this layout hold one id per pixel, "
            "gray or with a palette: take the file as it was downloaded, colors are no ids"
        )
    if not indexed and (color_type not in (_GRAY, _RGB) or (color_type == _RGB and depth != 8)):
        raise UnreadableImage(f"{name}: PNG with {kind}; masks are RGB (id = R + 256 G) or single-channel")


def encode_png(pixels: npt.NDArray[np.generic]) -> bytes:
    """Encode losslessly; equal pixels give equal bytes.

    Args:
        pixels: (H, W) bool, uint8 or uint16, or (H, W, 3) uint8 RGB.
    """
    if pixels.dtype == np.bool_:
        flags = [cv2.IMWRITE_PNG_BILEVEL, 1]
        pixels = pixels.astype(np.uint8) * np.uint8(255)
    else:
        flags = [cv2.IMWRITE_PNG_COMPRESSION, 4]
    ordered = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    done, data = cv2.imencode(".png", np.ascontiguousarray(ordered), flags)
    if not done:
        raise ValueError(f"cannot encode {pixels.dtype} of shape {pixels.shape} as PNG")
    return bytes(data.tobytes())


def decode_png(data: bytes) -> npt.NDArray[np.generic]:
    """Undo `encode_png`.

    Raises:
        UnreadableImage: The bytes are not a whole PNG.
    """
    pixels = _decode(data, "map")
    if pixels.ndim == 3:
        return pixels[..., ::-1]
    return pixels.astype(np.bool_) if data[24] == 1 else pixels


def _decode(data: bytes, name: str) -> npt.NDArray[np.generic]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableImage(f"{name}: truncated or broken PNG")
    return np.asarray(pixels)
