"""Files to pixel arrays and back."""

import warnings
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.core.errors import UserError

MAX_PIXELS = 178_956_970
"""Largest photograph that is decoded (Pillow's own limit for a decompression bomb)."""

_GREY, _RGB, _PALETTE = 0, 2, 3
_COLOUR_TYPES = {_PALETTE: "a palette", 4: "grey with alpha", 6: "RGB with alpha"}

UInt8 = npt.NDArray[np.uint8]
Int32 = npt.NDArray[np.int32]


class UnreadableImage(UserError):
    """A file that cannot be used as a photograph or mask; the message starts with its path."""


def read_image(path: str | Path) -> UInt8:
    """Decode a photograph of any common kind.

    EXIF rotation is applied; grey, palette, CMYK and 16-bit become 8-bit RGB; transparency is laid on white.

    Returns:
        (H, W, 3) uint8, RGB.

    Raises:
        UnreadableImage: Missing, empty, truncated, too large or not an image.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and large sizes; what matters is raised below.
            with Image.open(path) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise UnreadableImage(f"{path}: {image.width}x{image.height} pixels, more than the {MAX_PIXELS} that are decoded")
                return np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except Image.DecompressionBombError:
        raise UnreadableImage(f"{path}: more than the {MAX_PIXELS} pixels that are decoded") from None
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: no such file") from None
    except UnidentifiedImageError:
        reason = "empty file" if Path(path).stat().st_size == 0 else "not an image"
        raise UnreadableImage(f"{path}: {reason}") from None
    except (OSError, SyntaxError, ValueError, IndexError, EOFError) as error:
        raise UnreadableImage(f"{path}: cannot be decoded ({error})") from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16B", "I;16L"):
        return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


def read_mask(path: str | Path) -> Int32:
    """Decode a segmentation mask in the ImageNet-S format.

    Args:
        path: RGB PNG with id = R + 256 G, or a single-channel 8- or 16-bit PNG that holds the ids.

    Returns:
        (H, W) int32 ids.

    Raises:
        UnreadableImage: Missing, broken, or a PNG with a palette or transparency (whose ids would be a guess).
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UnreadableImage(f"{path}: no such file") from None
    if data[:8] != b"\x89PNG\r\n\x1a\n" or len(data) < 33:
        raise UnreadableImage(f"{path}: {'not a PNG' if data else 'empty file'}; masks are lossless PNG files")
    colour_type = data[25]
    if colour_type not in (_GREY, _RGB):
        kind = _COLOUR_TYPES.get(colour_type, f"colour type {colour_type}")
        raise UnreadableImage(f"{path}: PNG with {kind}; masks are RGB (id = R + 256 G) or single-channel")
    pixels = _decode(data, str(path))
    if pixels.ndim == 2:
        return pixels.astype(np.int32)
    return pixels[..., 2].astype(np.int32) + (pixels[..., 1].astype(np.int32) << 8)


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
    return pixels > 0 if data[24] == 1 else pixels


def _decode(data: bytes, name: str) -> npt.NDArray[np.generic]:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise UnreadableImage(f"{name}: truncated or broken PNG")
    return np.asarray(pixels)
