"""Every file that cannot be used is listed with its reason; odd but sound ones are used."""

import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.labels import read_labels
from tests.index.photographs import encode, mask, photograph, put, rejected, run


def bomb(side: int) -> bytes:
    """A small PNG file of side x side pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 999)) + chunk(b"IEND", b"")
    )


LARGE = photograph(200, 150)
GRAY = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))

BROKEN_PHOTOGRAPHS = {
    "truncated.jpg": (LARGE[: len(LARGE) // 2], "truncated"),
    "truncated.png": (photograph(200, 150, "PNG")[:-500], "truncated|broken"),
    "empty.jpg": (b"", "^empty file$"),
    "zeros.jpg": (bytes(5000), "^not an image$"),
    "text.jpg": (b"404 not found", "^not an image$"),
    "bomb.png": (bomb(50_000), "more than the 178956970 "),
    "half_bomb.png": (bomb(15_000), "^more than the 178956970 pixels that are decoded$"),
    "float.tif": (encode(Image.fromarray(np.ones((4, 6), np.float32)), "TIFF"), "floating-point"),
    "photo.heic": (photograph(), "^suffix '.heic' is not one of .bmp .gif .jfif .jpeg .jpg .png .tif .tiff .webp$"),
    "no_suffix": (photograph(), "^suffix '' is not one of"),
    "notes, by hand.txt": (b"dear diary", "^suffix '.txt'"),
}


def test_every_broken_photograph_is_listed_with_its_reason(tmp_path: Path) -> None:
    for name, (data, _) in BROKEN_PHOTOGRAPHS.items():
        put(f"some/{name}", data)
    put("some/sound.jpg", photograph())
    run("folder")
    assert read_images().image_ids == ["some/sound"]
    reasons = rejected("images")
    assert sorted(reasons) == sorted(f"some/{name}" for name in BROKEN_PHOTOGRAPHS)
    for name, (_, reason) in BROKEN_PHOTOGRAPHS.items():
        assert re.search(reason, reasons[f"some/{name}"])
    assert str(tmp_path) not in Path("artifacts/index/images/rejected.csv").read_text()


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return photograph(6, 4, exif=exif)


ODD_PHOTOGRAPHS = {
    "cmyk.jpg": (encode(GRAY.convert("CMYK"), "JPEG"), (4, 6)),
    "sixteen_bit.png": (encode(Image.fromarray(np.full((4, 6), 40_000, np.uint16)), "PNG"), (4, 6)),
    "palette.png": (encode(GRAY.quantize(9), "PNG"), (4, 6)),
    "animated.gif": (encode(GRAY, "GIF", save_all=True, append_images=[GRAY.rotate(180)]), (4, 6)),
    "alpha.png": (encode(GRAY.convert("RGBA"), "PNG"), (4, 6)),
    "gray.webp": (encode(GRAY, "WEBP"), (4, 6)),
    "upside_down.jpg": (oriented(3), (4, 6)),
    "on_its_side.jpg": (oriented(6), (6, 4)),
    "a_png_called.jpeg": (encode(GRAY, "PNG"), (4, 6)),
    "one_pixel.bmp": (photograph(1, 1, "BMP"), (1, 1)),
}


def test_odd_but_sound_photographs_are_used() -> None:
    for name, (data, _) in ODD_PHOTOGRAPHS.items():
        put(name, data)
    run("folder")
    index = read_images()
    assert rejected("images") == {}
    assert {photo.path: (photo.height, photo.width) for photo in map(index.__getitem__, range(len(index)))} == {
        name: size for name, (_, size) in ODD_PHOTOGRAPHS.items()
    }
    for row in range(len(index)):
        assert index.read(row).shape[:2] == (index[row].height, index[row].width)


def test_of_files_with_one_id_the_first_usable_is_taken() -> None:
    put("a.jpg", photograph())
    put("a.png", photograph(7, 7, "PNG"))
    put("b.JPG", b"")
    put("b.jpg", photograph())
    put("b.png", photograph(kind="PNG"))
    run("folder")
    index = read_images()
    assert [photo.path for photo in map(index.__getitem__, range(2))] == ["a.jpg", "b.jpg"]
    assert rejected("images") == {
        "a.png": "same name but for the suffix as a.jpg",
        "b.JPG": "empty file",
        "b.png": "same name but for the suffix as b.jpg",
    }


def test_names_that_are_no_text_and_pipes_are_listed() -> None:
    put("a.jpg", photograph())
    Path(os.fsdecode(b"data/caf\xe9.jpg")).write_bytes(photograph())
    os.mkfifo("data/pipe.jpg")
    run("folder")
    assert rejected("images") == {
        "caf\\xe9.jpg": "the name is not UTF-8; rename the file",
        "pipe.jpg": "not a regular file",
    }


BROKEN_MASKS = {
    "size": (mask(1, width=7), r"^7x4 pixels, but the photograph has 6x4 \(after EXIF rotation\)$"),
    "id": (mask(1, 3), r"^id 3, but there are 2 categories \(1000 is ignore\)$"),
    "near_ignore": (mask(1001), "^id 1001, but"),
    "palette": (encode(GRAY.quantize(9), "PNG"), "^PNG with a palette"),
    "alpha": (encode(GRAY.convert("RGBA"), "PNG"), "^PNG with RGB with alpha"),
    "jpeg": (photograph(), "^not a PNG"),
    "empty": (b"", "^empty file"),
    "truncated": (mask(1)[:-20], "truncated or broken PNG"),
    "bomb": (bomb(50_000), "more than the 178956970 "),
}


def test_a_bad_mask_is_listed_and_its_photograph_used() -> None:
    put("train/ant/a.jpg", photograph())
    put("train/cat/a.jpg", photograph())
    for name, (data, _) in BROKEN_MASKS.items():
        put(f"validation/cat/{name}.jpg", photograph())
        put(f"validation-segmentation/cat/{name}.png", data)
    put("validation/cat/good.jpg", photograph())
    put("validation-segmentation/cat/good.png", mask(0, 1, 2, 1000))
    run("imagenet_s", classes=2)
    labels, reasons = read_labels(), rejected("labels")
    assert len(read_images().in_splits("validation")) == len(BROKEN_MASKS) + 1
    assert sorted(reasons) == sorted(f"validation-segmentation/cat/{name}.png" for name in BROKEN_MASKS)
    for name, (_, reason) in BROKEN_MASKS.items():
        assert re.search(reason, reasons[f"validation-segmentation/cat/{name}.png"])
        assert labels.mask_path(f"validation/cat/{name}") is None
        assert labels.class_name(f"validation/cat/{name}") == "cat"
    assert labels.mask_path("validation/cat/good") == "validation-segmentation/cat/good.png"
    assert rejected("images") == {}


def test_a_mask_without_a_usable_photograph_is_listed() -> None:
    put("train/cat/a.jpg", photograph())
    put("test/cat/broken.jpg", b"")
    for name in ("broken.png", "alone.png", "notes.txt"):
        put(f"test-segmentation/cat/{name}", mask(1))
    run("imagenet_s", classes=1)
    assert rejected("images") == {"test/cat/broken.jpg": "empty file"}
    assert rejected("labels") == {
        "test-segmentation/cat/alone.png": "no photograph test/cat/alone.*",
        "test-segmentation/cat/broken.png": "its photograph cannot be used",
        "test-segmentation/cat/notes.txt": "suffix '.txt' is not one of .png",
    }


@pytest.mark.parametrize(("width", "height", "kept"), [(4, 6, True), (6, 4, False)])
def test_a_mask_has_the_size_of_the_photograph_after_rotation(width: int, height: int, kept: bool) -> None:
    put("train/cat/a.jpg", oriented(6))
    put("train-segmentation/cat/a.png", mask(1, width=width, height=height))
    run("imagenet_s", classes=None)
    assert (read_labels().mask_path("train/cat/a") is not None) == kept
    assert (rejected("labels") == {}) == kept
