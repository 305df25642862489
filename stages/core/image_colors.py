"""Converts decoded pixels of any mode, depth and color profile to 8-bit sRGB, as image viewers do.

Samples of more than 8 bits keep the range that is in use, colors are converted by the profile that the file carries,
transparency is laid on white.
"""

import io
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

_DEPTHS = (8, 10, 12, 14, 16)
"""Bits of the sensors whose samples lie in files of 16 or 32 bits."""
_DARK = 64
"""Of the high byte of 16 bits: where all lie below it, 14 bits or fewer are in use."""
_ALIKE = 3
"""Levels of 255 up to which a profile is taken for sRGB itself: most are, and need no conversion."""

_BITS, _PHOTOMETRIC, _MOST, _PLANES = 258, 262, 281, 284
"""TIFF's tags BitsPerSample, PhotometricInterpretation, MaxSampleValue, PlanarConfiguration."""
_WHITE_IS_ZERO, _SEPARATE = 0, 2
_PNG_DEPTH = 24
"""Byte of a PNG that holds the bits per sample."""


def to_rgb(image: Image.Image, data: bytes) -> Image.Image:
    """Convert a photograph to 8-bit sRGB.

    Args:
        image: As Pillow opens it.
        data: The file: 16-bit colors that Pillow cuts to nothing are read from it again.

    Raises:
        ValueError: The range of its values is not known.
    """
    image.load()  # Numpy would not say what is wrong with it.
    colors, alpha = _split(image, data)
    opaque = _apply_profile(colors, image.info.get("icc_profile"))
    if alpha is None:
        return opaque
    return Image.composite(opaque, Image.new("RGB", opaque.size, "white"), alpha)


def is_srgb(image: Image.Image) -> bool:
    """Whether a photograph's values are colors of sRGB: it carries no profile, or one that changes next to nothing."""
    profile = image.info.get("icc_profile")
    return profile is None or _conversion(profile, image.mode) is None


def _split(image: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None]:
    """Colors of 8 bits in mode L, RGB, CMYK or LAB, and the opacity where there is any."""
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode.startswith("I"):
        return _split_deep_gray(image)
    if _bits(image, data) == 16:
        if _tag(image, _PLANES) == _SEPARATE:
            raise ValueError("16-bit colors in separate planes")  # Pillow decodes them to other colors.
        if np.asarray(image)[..., :3].max(initial=0) < _DARK:
            return _split_deep_colors(image, data)
    if image.mode in ("LA", "La"):
        gray = image.convert("LA")
        return gray.getchannel("L"), gray.getchannel("A")
    if image.has_transparency_data:
        whole = image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    return image if image.mode in ("L", "RGB", "CMYK", "LAB") else image.convert("RGB"), None


def _split_deep_gray(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    values = np.asarray(image).astype(np.int64)
    if values.min(initial=0) < 0:
        raise ValueError("negative pixels have no known range")
    gray = _to_eight_bits(values, _depth(values, _declared_most(image)))
    key = image.info.get("transparency")
    alpha = np.where(values == key, 0, 255).astype(np.uint8) if isinstance(key, int) else None
    # Pillow turns WhiteIsZero round for 8 bits alone.
    shown = ~gray if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO else gray
    return Image.fromarray(shown), None if alpha is None else Image.fromarray(alpha)


def _split_deep_colors(image: Image.Image, data: bytes) -> tuple[Image.Image, Image.Image | None]:
    """Colors of a file that uses the lower of its 16 bits; Pillow keeps the upper 8, which hold next to nothing."""
    values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    order = [2, 1, 0, 3][: len(image.getbands())]
    if values is None or values.ndim != 3 or not np.array_equal(values[..., order] >> 8, np.asarray(image)):
        raise ValueError("16-bit colors, of which only the lowest bits are used")
    colors = values[..., 2::-1]
    depth = _depth(colors, None)
    opaque = Image.fromarray(np.ascontiguousarray(_to_eight_bits(colors, depth)))
    if values.shape[2] == 3:
        return opaque, None
    alpha = values[..., 3]
    return opaque, Image.fromarray(_to_eight_bits(alpha, depth if alpha.max(initial=0) < 2**depth else 16))


def _to_eight_bits(values: npt.NDArray[Any], depth: int) -> npt.NDArray[np.uint8]:
    return (values >> (depth - 8)).astype(np.uint8)


def _depth(values: npt.NDArray[Any], declared_most: int | None) -> int:
    """Bits that the values use, or that the file says they do."""
    most = max(int(values.max(initial=0)), declared_most or 0)
    return next((depth for depth in _DEPTHS if most < 2**depth), most.bit_length())


def _declared_most(image: Image.Image) -> int | None:
    bits, most = _tag(image, _BITS), _tag(image, _MOST)
    return most if most is not None else 2**bits - 1 if bits is not None and bits < 16 else None


def _bits(image: Image.Image, data: bytes) -> int | None:
    return data[_PNG_DEPTH] if image.format == "PNG" else _tag(image, _BITS)


def _tag(image: Image.Image, number: int) -> int | None:
    """A TIFF's tag, of several values the first."""
    value = getattr(image, "tag_v2", {}).get(number)
    return int(value[0] if isinstance(value, tuple) else value) if value else 0 if value == 0 else None


def _apply_profile(image: Image.Image, profile: bytes | None) -> Image.Image:
    conversion = _conversion(profile, image.mode) if profile is not None or image.mode == "LAB" else None
    if conversion is not None:
        converted = conversion.apply(image)
        assert converted is not None
        return converted
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=32)
def _conversion(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile's colors to sRGB; None where there is nothing to convert, or the profile is of no use."""
    try:
        source = ImageCms.createProfile("LAB") if mode == "LAB" else ImageCms.getOpenProfile(io.BytesIO(profile or b""))
        conversion = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # As viewers do: the values stand as they are stored.
        return None
    if mode not in ("L", "RGB"):
        return conversion
    probe = _probe(mode)
    change = np.asarray(conversion.apply(probe), np.int16) - np.asarray(probe.convert("RGB"), np.int16)
    return conversion if np.abs(change).max() > _ALIKE else None


def _probe(mode: str) -> Image.Image:
    """An image with every gray, or colors evenly over the cube."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    levels = np.linspace(0, 255, 16).round().astype(np.uint8)
    return Image.fromarray(np.stack(np.meshgrid(levels, levels, levels), -1).reshape(64, 64, 3))
