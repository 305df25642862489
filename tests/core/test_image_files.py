"""Decoding photographs, masks and maps; Pillow's own conversions and cases by hand are the oracles."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import ExifTags, Image, ImageOps

from stages.core.image_files import MAX_PIXELS, REDUCTIONS, UnreadableImage, decode_image, measure_image, read_image
from stages.core.png_files import decode_png, encode_png, read_mask

GRADIENT = np.add.outer(np.arange(20) * 5, np.arange(32) * 4).astype(np.uint8)
COLOR = np.stack([GRADIENT, GRADIENT.T.reshape(20, 32), 255 - GRADIENT], axis=-1)


def as_file(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, color_type: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (as_file(Image.fromarray(COLOR)), COLOR),
        (as_file(Image.fromarray(COLOR), "WEBP", lossless=True), COLOR),
        (as_file(Image.fromarray(COLOR), "BMP"), COLOR),
        (as_file(Image.fromarray(COLOR), "TIFF"), COLOR),
        (as_file(Image.fromarray(GRADIENT)), np.stack([GRADIENT] * 3, axis=-1)),
        (as_file(Image.fromarray(GRADIENT.astype(np.uint16) * 256 + 7)), np.stack([GRADIENT] * 3, axis=-1)),
        (as_file(Image.fromarray(GRADIENT).quantize(256)), np.stack([GRADIENT] * 3, axis=-1)),
        (as_file(Image.fromarray(GRADIENT).quantize(256), "GIF"), np.stack([GRADIENT] * 3, axis=-1)),
        (as_file(Image.fromarray(GRADIENT > 90)), np.stack([(GRADIENT > 90) * np.uint8(255)] * 3, axis=-1)),
        (as_file(Image.fromarray(COLOR).convert("CMYK"), "TIFF"), COLOR),
    ],
    ids=["rgb", "webp", "bmp", "tiff", "gray", "16-bit", "palette", "gif", "1-bit", "cmyk"],
)
def test_every_kind_of_pixel_becomes_rgb(data: bytes, expected: npt.NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(decode_image(data, "photo"), expected)
    assert measure_image(data, "photo") == expected.shape[:2]


def test_transparency_is_laid_on_white() -> None:
    alpha = np.array([[0, 255, 128]], np.uint8)
    pixels = np.dstack([np.full((1, 3, 3), 100, np.uint8), alpha])
    result = decode_image(as_file(Image.fromarray(pixels)), "photo")
    assert result[0, :, 0].tolist() == [255, 100, 177]  # 100 * 128/255 + 255 * 127/255


def test_a_cmyk_jpeg_has_the_colors_of_the_rgb_one() -> None:
    smooth = Image.fromarray(COLOR).resize((64, 40))
    cmyk = decode_image(as_file(smooth.convert("CMYK"), "JPEG", quality=95), "photo")
    assert np.abs(cmyk.astype(int) - np.asarray(smooth)).mean() < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_rotation_is_applied(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    data = as_file(Image.fromarray(COLOR), kind, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    np.testing.assert_array_equal(decode_image(data, "photo"), expected)
    assert measure_image(data, "photo") == expected.shape[:2]


@pytest.mark.parametrize(
    "directory", [b"\xff\xff\x01\x12", b"\0\1\x01\x12\0\2\0\0\0\4abc\0\0\0\0\0"], ids=["cut off", "orientation 'abc'"]
)
def test_broken_exif_leaves_the_photograph_as_it_is_stored(directory: bytes) -> None:
    data = as_file(Image.fromarray(COLOR), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08" + directory)
    assert decode_image(data, "photo").shape == COLOR.shape
    assert measure_image(data, "photo") == COLOR.shape[:2]


JPEG = as_file(Image.fromarray(np.tile(COLOR, (4, 4, 1))), "JPEG")
ONE_BIT_WRONG = bytearray(png(32, 20, 8, 0, b"".join(b"\0" + row.tobytes() for row in GRADIENT)))
ONE_BIT_WRONG[60] ^= 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"a letter to the editor", "not an image"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (as_file(Image.fromarray(COLOR))[:-60], "truncated"),
        (bytes(ONE_BIT_WRONG), "broken"),
        (png(20000, 20000, 8, 0, b"\0"), f"more than the {MAX_PIXELS}"),
        (as_file(Image.fromarray(GRADIENT.astype(np.float32)), "TIFF"), "floating-point"),
    ],
    ids=["empty", "text", "truncated jpeg", "truncated png", "wrong checksum", "bomb", "float"],
)
def test_what_cannot_be_decoded_is_refused_with_file_and_reason(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(UnreadableImage, match=f"^{path}: .*{reason}"):
        read_image(path)
    with pytest.raises(UnreadableImage, match=reason):
        measure_image(data, "photo")


def test_missing_file_folder_and_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    for name, reason in [("gone", "no such file"), ("link", "leads nowhere"), (".", "cannot be read")]:
        with pytest.raises(UnreadableImage, match=reason):
            read_image(tmp_path / name)


@given(data=st.data())
def test_a_damaged_file_is_decoded_or_refused_and_nothing_else(data: st.DataObject) -> None:
    damaged = bytearray(JPEG)
    for _ in range(data.draw(st.integers(1, 5))):
        damaged[data.draw(st.integers(0, 700))] = data.draw(st.integers(0, 255))
    try:
        shape = decode_image(bytes(damaged), "photo").shape
    except UnreadableImage:
        return
    assert len(shape) == 3


IDS = np.array([[0, 1, 2, 3], [255, 256, 918, 1000]])


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def turned_mask(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return as_file(Image.fromarray(IDS.astype(np.uint8)), exif=exif)


def test_a_mask_may_say_that_it_is_upright(tmp_path: Path) -> None:
    stored = read_mask(write(tmp_path / "m.png", turned_mask(1)))
    np.testing.assert_array_equal(stored, IDS.astype(np.uint8))


def test_a_mask_in_color_holds_r_plus_256_g(tmp_path: Path) -> None:
    pixels = np.stack([IDS % 256, IDS // 256, np.zeros_like(IDS)], axis=-1).astype(np.uint8)
    np.testing.assert_array_equal(read_mask(write(tmp_path / "m.png", as_file(Image.fromarray(pixels)))), IDS)


def test_a_single_channel_mask_holds_the_ids(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        read_mask(write(tmp_path / "m.png", as_file(Image.fromarray(IDS.astype(np.uint16))))), IDS
    )
    packed = {1: b"\0\x40", 2: b"\0\x1b", 4: b"\0\x01\x23", 8: b"\0\0\1\2\3"}
    expected = {1: [0, 1, 0, 0], 2: [0, 1, 2, 3], 4: [0, 1, 2, 3], 8: [0, 1, 2, 3]}
    for depth, row in packed.items():
        assert read_mask(write(tmp_path / "m.png", png(4, 1, depth, 0, row)))[0].tolist() == expected[depth]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (as_file(Image.fromarray(GRADIENT).quantize(8)), "palette"),
        (as_file(Image.fromarray(COLOR).convert("RGBA")), "RGB with alpha"),
        (png(1, 1, 16, 2, b"\0" + b"\0\1" * 3), "16 bits"),
        (as_file(Image.fromarray(GRADIENT))[:-30], "truncated"),
        (turned_mask(6), "EXIF asks for a turn"),
        (JPEG, "not a PNG"),
        (b"", "empty file"),
        (png(60000, 60000, 8, 0, b"\0"), f"more than the {MAX_PIXELS}"),
    ],
    ids=["palette", "alpha", "16-bit color", "truncated", "turned", "jpeg", "empty", "bomb"],
)
def test_a_mask_whose_ids_would_be_a_guess_is_refused(data: bytes, reason: str, tmp_path: Path) -> None:
    path = write(tmp_path / "mask.png", data)
    with pytest.raises(UnreadableImage, match=f"^{path}: .*{reason}"):
        read_mask(path)


ARRAYS = st.one_of(
    *(
        hnp.arrays(kind, hnp.array_shapes(min_dims=2, max_dims=2, max_side=20))
        for kind in (np.dtype(np.bool_), np.dtype(np.uint8), np.dtype(np.uint16))
    ),
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3))),
)


@given(ARRAYS)
def test_encoded_maps_come_back_exactly(pixels: npt.NDArray[np.generic]) -> None:
    data = encode_png(pixels)
    back = decode_png(data)
    assert back.dtype == pixels.dtype
    np.testing.assert_array_equal(back, pixels)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(data))), pixels)
    assert encode_png(pixels) == data


def test_a_broken_map_is_refused() -> None:
    with pytest.raises(UnreadableImage, match="truncated or broken"):
        decode_png(encode_png(GRADIENT)[:-40])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_smaller_decoding_is_the_mean_of_what_each_pixel_covers(reduction: int, kind: str) -> None:
    smooth = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 9, 3)).astype(np.uint8)).resize((99, 70))
    data = as_file(smooth, kind, quality=95)
    got, full = decode_image(data, "photo", reduction), decode_image(data, "photo").astype(float)
    assert got.shape == (-(-70 // reduction), -(-99 // reduction), 3)
    blocks = full[: 70 // reduction * reduction, : 99 // reduction * reduction]
    means = blocks.reshape(70 // reduction, reduction, 99 // reduction, reduction, 3).mean((1, 3))
    assert np.abs(got[: len(means), : means.shape[1]] - means).mean() < 1.5


def test_a_smaller_decoding_is_turned_as_the_camera_says() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    data = as_file(Image.fromarray(np.zeros((40, 80, 3), np.uint8)), "JPEG", exif=exif)
    assert decode_image(data, "photo", 4).shape == (20, 10, 3)
