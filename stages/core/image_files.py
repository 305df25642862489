"""Reads and writes image files: photographs, masks and label maps."""

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
from stages.core.image_colors import is_srgb, to_rgb

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
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""First bytes of TIFF and BigTIFF, of either byte order."""

_GRAY, _RGB, _PALETTE = 0, 2, 3
_COLOR_TYPES = {_PALETTE: "a palette", 4: "gray with alpha", 6: "RGB with alpha"}

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]


class UnreadableImage(UserError):
    """A file that cannot be used as a photograph or mask; the message starts with its path."""


def read_image(path: str | Path, reduction: int = 1) -> UInt8:
    """Decode a photograph of any common kind.

    Turned as the file says (EXIF or XMP), in 8-bit sRGB whatever the file holds (see `image_colors`), transparency on
    white.

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
            return np.asarray(_upright(image, data).reduce(reduction))
        if reduction == 1 and (pixels := _decode_plain_jpeg(image, data)) is not None:
            return pixels
        image.draft(None, (max(image.width // reduction, 1), max(image.height // reduction, 1)))
        return np.asarray(_upright(image, data))


def _decode_plain_jpeg(image: Image.Image, data: bytes) -> UInt8 | None:
    """The pixels of a whole, upright JPEG in color: the same decoder as Pillow's, with less copying around it.

    None for any other file: OpenCV fills up what is missing without a word.
    """
    if image.mode != "RGB" or _orientation(image) != 1 or not data.endswith(_END_OF_JPEG) or not is_srgb(image):
        return None
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    return None if pixels is None else np.asarray(pixels, np.uint8)


def measure_image(data: bytes, name: str) -> tuple[int, int]:
    """Height and width that `decode_image` gives; raises as it does, at half the cost for a JPEG.

    Raises:
        UnreadableImage: As `read_image`.
    """
    with _open(data, name) as image:
        if image.format != "JPEG":
            width, height = _upright(image, data).size
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
        raise UnreadableImage(f"{name}: {_describe_unknown(data)}") from None
    except Exception as error:  # Decoders of broken files raise almost anything: struct.error, TypeError, KeyError ...
        raise UnreadableImage(f"{name}: cannot be decoded ({error})") from None


def _describe_unknown(data: bytes) -> str:
    if data[:4] in _TIFF:
        return "a TIFF of a kind that cannot be decoded (floating-point colors, unusual bits, samples or compression)"
    return "not an image" if data else "empty file"


def _check_sums(data: bytes) -> None:
    """Raise where a PNG holds other bytes than were written; Pillow decodes it to other pixels without a word."""
    with Image.open(io.BytesIO(data)) as image:
        image.verify()


def _upright(image: Image.Image, data: bytes) -> Image.Image:
    """The photograph in RGB and upright. Pillow itself turns a TIFF while loading it, so orientation is read after."""
    colors = to_rgb(image, data)
    turn = _TURNS.get(_orientation(image))
    return colors if turn is None else colors.transpose(turn)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Broken EXIF says nothing about the pixels: the photograph stands as it is stored.
        return 1


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
    if b"eXIf" in data and _is_turned(data, name):
        raise UnreadableImage(f"{name}: PNG whose EXIF asks for a turn; save it upright, without that tag")
    if color_type == _PALETTE:
        with _open(data, name) as image:
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


def _is_turned(data: bytes, name: str) -> bool:
    with _open(data, name) as image:
        return _orientation(image) in _TURNS


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
