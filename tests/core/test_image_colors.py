"""What a viewer shows of deep, profiled and transparent pixels; colorimetry by hand and scikit-image as oracles."""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import ExifTags, Image, ImageOps
from skimage.color import lab2xyz

from stages.core.image_files import UnreadableImage, decode_image, measure_image
from stages.core.png_files import encode_png

RAMP = np.add.outer(np.arange(20), np.arange(44))
"""0 to 62."""
COLORS = np.random.default_rng(0).integers(0, 256, (12, 16, 3))
COLORS[0, 0] = 255


def as_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def as_tiff(values: npt.NDArray[np.generic], **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, **options)
    return buffer.getvalue()


def gray_of(data: bytes) -> npt.NDArray[np.uint8]:
    """The shown gray levels (H, W)."""
    pixels = decode_image(data, "photo")
    assert measure_image(data, "photo") == pixels.shape[:2]
    assert (pixels == pixels[..., :1]).all()
    return pixels[..., 0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "big-endian TIFF"])
def test_gray_of_a_sensor_keeps_its_range(bits: int, kind: str) -> None:
    values = (RAMP * 2 ** (bits - 6)).astype(np.uint16)
    if kind == "PNG":
        data = encode_png(values)
    else:
        data = as_tiff(values, photometric="minisblack", byteorder=">" if kind.startswith("big") else "<")
    np.testing.assert_array_equal(gray_of(data), RAMP * 4)


@pytest.mark.parametrize("kind", [np.int32, np.uint32, np.int16])
def test_gray_of_wide_integers_keeps_its_range(kind: type) -> None:
    np.testing.assert_array_equal(gray_of(as_tiff((RAMP * 4).astype(kind), photometric="minisblack")), RAMP * 4)
    np.testing.assert_array_equal(gray_of(as_tiff((RAMP * 256).astype(kind), photometric="minisblack")), RAMP * 4)


def test_the_largest_sample_that_a_tiff_declares_counts() -> None:
    values = (RAMP * 16).astype(np.uint16)  # up to 992, of 4095
    declared = as_tiff(values, photometric="minisblack", extratags=[(281, "H", 1, 4095, True)])
    np.testing.assert_array_equal(gray_of(declared), RAMP)


def test_white_is_zero_at_every_depth() -> None:
    np.testing.assert_array_equal(
        gray_of(as_tiff((RAMP * 4).astype(np.uint8), photometric="miniswhite")), 255 - RAMP * 4
    )
    np.testing.assert_array_equal(
        gray_of(as_tiff((RAMP * 1024).astype(np.uint16), photometric="miniswhite")), 255 - RAMP * 4
    )


@pytest.mark.parametrize("bits", [10, 12, 14, 16])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("opaque", [None, 65535, "as colors"])
def test_colors_of_a_sensor_keep_their_range(bits: int, kind: str, opaque: int | str | None) -> None:
    values = (COLORS * 2 ** (bits - 8)).astype(np.uint16)
    if opaque is not None:
        most = 2**bits - 1 if isinstance(opaque, str) else opaque
        values = np.dstack([values, np.full(values.shape[:2], most, np.uint16)])
    if kind == "TIFF":
        data = as_tiff(values, photometric="rgb", extrasamples=None if opaque is None else ["unassalpha"])
    else:
        data = png_of(values)
    np.testing.assert_array_equal(decode_image(data, "photo"), COLORS)


def png_of(values: npt.NDArray[np.uint16]) -> bytes:
    import cv2

    order = [2, 1, 0, 3][: values.shape[2]]
    return bytes(cv2.imencode(".png", np.ascontiguousarray(values[..., order]))[1])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("bits", [12, 16])
def test_deep_colors_are_turned_once(orientation: int, bits: int) -> None:
    values = (COLORS * 2 ** (bits - 8)).astype(np.uint16)
    data = as_tiff(values, photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    upright = ImageOps.exif_transpose(
        Image.open(io.BytesIO(as_file(Image.fromarray(COLORS.astype(np.uint8)), exif=exif)))
    )
    np.testing.assert_array_equal(decode_image(data, "photo"), np.asarray(upright))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (as_tiff(RAMP.astype(np.float32)), "floating-point"),
        (as_tiff(RAMP.astype(np.float64)), "a TIFF of a kind that cannot be decoded"),
        (as_tiff(COLORS.astype(np.float32), photometric="rgb"), "a TIFF of a kind that cannot be decoded"),
        (as_tiff(-RAMP.astype(np.int32), photometric="minisblack"), "negative pixels"),
        (
            as_tiff((COLORS * 256).astype(np.uint16).transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
            "separate planes",
        ),
    ],
    ids=["float", "double", "float colors", "negative", "planes"],
)
def test_what_has_no_known_range_is_refused(data: bytes, reason: str) -> None:
    for look in (decode_image, measure_image):
        with pytest.raises(UnreadableImage, match=f"^photo: .*{reason}"):
            look(data, "photo")


def test_one_gray_that_stands_for_nothing_is_white() -> None:
    values = np.array([[0, 40_000, 65_535]], np.uint16)
    data = as_file(Image.fromarray(values), transparency=40_000)
    assert gray_of(data).tolist() == [[0, 255, 255]]


def fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def profile(space: bytes, tags: dict[bytes, bytes], kind: bytes = b"mntr", connection: bytes = b"XYZ ") -> bytes:
    """An ICC profile of version 2 by hand. Source: ICC.1:2001-04, sections 6.1 and 6.5."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1) + fixed(0.8249), **tags}
    table, body, offset = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", 128 + len(table) + len(body), bytes(4), 0x02400000, kind, space, connection)
    rest = bytes(12) + b"acsp" + bytes(28) + fixed(0.9642) + fixed(1) + fixed(0.8249)
    return (head + rest).ljust(128, b"\0") + table + body


def curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256))


ADOBE = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
"""Linear Adobe RGB (1998) to XYZ of D50. Source: B. Lindbloom, RGB/XYZ matrices, adapted by Bradford."""
SRGB = np.array(
    [[3.1338561, -1.6168667, -0.4906146], [-0.9787684, 1.9161415, 0.033454], [0.0719453, -0.2289914, 1.4052427]]
)
"""XYZ of D50 to linear sRGB. Source: the same."""
WIDE = profile(
    b"RGB ",
    {
        name + b"XYZ": b"XYZ \0\0\0\0" + b"".join(map(fixed, ADOBE[:, place]))
        for place, name in enumerate((b"r", b"g", b"b"))
    }
    | {name + b"TRC": curve(2.2) for name in (b"r", b"g", b"b")},
)
LINEAR_GRAY = profile(b"GRAY", {b"kTRC": curve(1.0)})


def encode_srgb(linear: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Source: IEC 61966-2-1."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def shown_of_wide(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    return encode_srgb((pixels / 255.0) ** 2.2 @ ADOBE.T @ SRGB.T)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
def test_colors_of_a_wide_gamut_are_converted(kind: str) -> None:
    pixels = np.kron(COLORS.astype(np.uint8)[:4, :4], np.ones((16, 16, 1), np.uint8))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = as_file(Image.fromarray(pixels), kind, icc_profile=WIDE, **options)
    with Image.open(io.BytesIO(data)) as stored:
        expected = shown_of_wide(np.asarray(stored))
    shown = decode_image(data, "photo").astype(float)
    assert np.abs(shown - pixels).max() > 20
    assert np.abs(shown - expected).max() < 2
    assert np.abs(decode_image(data, "photo", 4) - expected.reshape(16, 4, 16, 4, 3).mean((1, 3))).mean() < 3


def test_gray_with_a_profile_and_opacity_is_converted_first() -> None:
    pixels = np.dstack([np.full((1, 3), 128, np.uint8), np.array([[255, 0, 128]], np.uint8)])
    gray = float(encode_srgb(np.array(128 / 255)))
    shown = gray_of(as_file(Image.fromarray(pixels), icc_profile=LINEAR_GRAY))[0]
    assert np.abs(shown - [gray, 255, gray * 128 / 255 + 127]).max() < 2


def test_inks_are_converted_by_their_profile() -> None:
    """Of one ink each the color is what the table says; the table's Lab values are chosen here."""
    inks = np.zeros((2, 2, 2, 2, 3), np.uint8)
    inks[...] = [255, 128, 128]  # paper: L = 100, a = b = 0
    inks[1, 0, 0, 0] = [128, 108, 98]
    inks[0, 1, 0, 0] = [140, 168, 128]
    inks[0, 0, 0, 1] = [30, 128, 128]
    line = bytes(range(256))
    table = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + b"".join(map(fixed, np.eye(3).ravel()))
    table += line * 4 + inks.tobytes() + line * 3
    profiled = profile(b"CMYK", {b"A2B0": table}, b"prtr", b"Lab ")
    pixels = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 0, 0], [0, 0, 0, 255]]], np.uint8)
    data = as_file(Image.frombytes("CMYK", (4, 1), pixels.tobytes()), "TIFF", icc_profile=profiled)
    lab = inks[[0, 1, 0, 0], [0, 0, 1, 0], 0, [0, 0, 0, 1]].astype(float)
    lab[:, 0] *= 100 / 255
    lab[:, 1:] -= 128
    expected = encode_srgb(lab2xyz(lab, illuminant="D50") @ SRGB.T)
    assert np.abs(decode_image(data, "photo")[0] - expected).max() < 3


def test_lab_is_converted() -> None:
    lab = np.random.default_rng(1).integers([60, 0, 0], [190, 25, 25], (4, 5, 3))
    lab[..., 1:] -= 12
    stored = Image.frombytes("LAB", (5, 4), lab.astype(np.uint8).tobytes())
    xyz = lab2xyz(np.dstack([lab[..., 0] * 100 / 255, lab[..., 1:]]), illuminant="D50")
    assert np.abs(decode_image(as_file(stored, "TIFF"), "photo") - encode_srgb(xyz @ SRGB.T)).max() < 2


@pytest.mark.parametrize("broken", [b"no profile", WIDE[:200], LINEAR_GRAY])
def test_a_profile_of_no_use_leaves_the_values_as_they_are_stored(broken: bytes) -> None:
    pixels = COLORS.astype(np.uint8)
    np.testing.assert_array_equal(decode_image(as_file(Image.fromarray(pixels), icc_profile=broken), "photo"), pixels)


def test_a_profile_of_srgb_changes_nothing() -> None:
    from PIL import ImageCms

    same = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = COLORS.astype(np.uint8)
    np.testing.assert_array_equal(decode_image(as_file(Image.fromarray(pixels), icc_profile=same), "photo"), pixels)
