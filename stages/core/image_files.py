"""Files of photographs, masks and maps to pixel arrays and back."""

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from stages.core.errors import UserError

MAX_PIXELS = 178_956_970
"""Of the largest image that is decoded: Pillow's own limit for a decompression bomb."""

REDUCTIONS = (1, 2, 4, 8)
"""By how much a photograph can be made smaller while it is decoded: what JPEG allows."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes an image of each EXIF orientation upright."""
_TURNED = (5, 6, 7, 8)
"""Orientations in which height and width change places."""

_END_OF_JPEG = b"\xff\xd9"

_GRAY, _RGB, _PALETTE = 0, 2, 3
_COLOR_TYPES = {_PALETTE: "a palette", 4: "gray with alpha", 6: "RGB with alpha"}

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]


class UnreadableImage(UserError):
    """A file that cannot be used as a photograph or mask; the message starts with its path."""


def read_image(path: str | Path, reduction: int = 1) -> UInt8:
    """Decode a photograph of any common kind.

    EXIF rotation is applied; gray, palette, CMYK and 16-bit become 8-bit RGB; transparency is laid on white.

    Args:
        path: The file.
        reduction: One of `REDUCTIONS`: height and width are divided by it and rounded up. Of a JPEG, what is left out
            is then never computed.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UnreadableImage: Missing, empty, truncated, too large or not an image.
    """
    return decode_image(read_bytes(path), str(path), reduction)


def decode_image(data: bytes, name: str, reduction: int = 1) -> UInt8:
    """Decode the bytes of a photograph; `name` stands in the error. See `read_image`."""
    with _open(data, name) as image:
        if image.format != "JPEG":
            return np.asarray(_to_rgb(_upright(image)).reduce(reduction))
        if reduction == 1 and (pixels := _decode_plain_jpeg(image, data)) is not None:
            return pixels
        image.draft(None, (max(image.width // reduction, 1), max(image.height // reduction, 1)))
        return np.asarray(_to_rgb(_upright(image)))


def _decode_plain_jpeg(image: Image.Image, data: bytes) -> UInt8 | None:
    """The pixels of a whole, upright JPEG in color: the same decoder as Pillow's, with less copying around it.

    None for any other file: OpenCV fills up what is missing without a word.
    """
    if image.mode != "RGB" or _orientation(image) != 1 or not data.endswith(_END_OF_JPEG):
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def measure_image(data: bytes, name: str) -> tuple[int, int]:
    """Height and width that `decode_image` gives, and whether it can: as sure, at half the cost for a JPEG.

    Raises:
        UnreadableImage: As `read_image`.
    """
    with _open(data, name) as image:
        if image.format != "JPEG":
            width, height = _to_rgb(_upright(image)).size
            return height, width
        height, width = image.height, image.width
        turned = _orientation(image) in _TURNED
        # At an eighth of the size all of the file is read, but the colors of most pixels are never computed.
        image.draft(None, (1, 1))
        image.load()
        return (width, height) if turned else (height, width)


def read_bytes(path: str | Path) -> bytes:
    """Read a file whole.

    Raises:
        UnreadableImage: Missing, or not to be read.
    """
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        reason = "a link that leads nowhere" if Path(path).is_symlink() else "no such file"
        raise UnreadableImage(f"{path}: {reason}") from None
    except OSError as error:
        raise UnreadableImage(f"{path}: cannot be read ({error.strerror})") from None


@contextmanager
def _open(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open an image and turn whatever its decoding raises into an `UnreadableImage`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and large sizes; what matters is raised below.
            with Image.open(io.BytesIO(data)) as image:
                yield image
            if image.format == "PNG":
                _check_sums(data)
    except (MemoryError, UnreadableImage):
        raise
    except Image.DecompressionBombError:
        raise UnreadableImage(f"{name}: more than the {MAX_PIXELS} pixels that are decoded") from None
    except UnidentifiedImageError:
        raise UnreadableImage(f"{name}: {'not an image' if data else 'empty file'}") from None
    except Exception as error:  # Decoders of broken files raise almost anything: struct.error, TypeError, KeyError ...
        raise UnreadableImage(f"{name}: cannot be decoded ({error})") from None


def _check_sums(data: bytes) -> None:
    """Raise where a PNG holds other bytes than were written; Pillow decodes it to other pixels without a word."""
    with Image.open(io.BytesIO(data)) as image:
        image.verify()


def _upright(image: Image.Image) -> Image.Image:
    turn = _TURNS.get(_orientation(image))
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Broken EXIF says nothing about the pixels: the photograph stands as it is stored.
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    image.load()  # Numpy would not say what is wrong with it.
    return image if image.mode == "RGB" else image.convert("RGB")


def read_mask(path: str | Path) -> Int32:
    """Decode a segmentation mask in the ImageNet-S format.

    Args:
        path: RGB PNG with id = R + 256 G, or a single-channel PNG of up to 16 bits that holds the ids.

    Returns:
        (H, W) int32 ids.

    Raises:
        UnreadableImage: Missing, broken, or a PNG with a palette or transparency (whose ids would be a guess).
    """
    return decode_mask(read_bytes(path), str(path))


def decode_mask(data: bytes, name: str) -> Int32:
    """Decode the bytes of a mask; `name` stands in the error. See `read_mask`."""
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise UnreadableImage(f"{name}: {'not a PNG' if data else 'empty file'}; masks are lossless PNG files")
    width, height, depth, color_type = struct.unpack_from(">IIBB", data, 16)
    if width * height > MAX_PIXELS:
        raise UnreadableImage(f"{name}: more than the {MAX_PIXELS} pixels that are decoded")
    if color_type not in (_GRAY, _RGB) or (color_type == _RGB and depth != 8):
        kind = _COLOR_TYPES.get(color_type, f"color type {color_type} and {depth} bits")
        raise UnreadableImage(f"{name}: PNG with {kind}; masks are RGB (id = R + 256 G) or single-channel")
    pixels = _decode(data, name)
    if pixels.ndim == 3:
        # The bytes G, R of BGR, read as one big-endian number, are the id.
        return np.ndarray(pixels.shape[:2], ">u2", pixels.data, 1, pixels.strides[:2]).astype(np.int32)
    # The decoder spreads 1, 2 and 4 bits over 0..255.
    return pixels.astype(np.int32) // (255 // (2**depth - 1) if depth < 8 else 1)


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
