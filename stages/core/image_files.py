"""Reads photographs from image files of any common kind."""

import io
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

UInt8 = npt.NDArray[np.uint8]


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
    with open_image(data, name) as image:
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
    with open_image(data, name) as image:
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
def open_image(data: bytes, name: str) -> Iterator[Image.Image]:
    """Open the bytes of an image; `name` stands in the error.

    Raises:
        UnreadableImage: In place of whatever its decoding raises.
    """
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


def is_upright(image: Image.Image) -> bool:
    """Whether its pixels stand as they are to be seen, by its EXIF."""
    return _orientation(image) not in _TURNS


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # Broken EXIF says nothing about the pixels: the photograph stands as it is stored.
        return 1
