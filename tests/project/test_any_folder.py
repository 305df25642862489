"""Folders of any names, suffixes, kinds of pixels and orientations, as `index`, `predict` and `score` take them.

One strategy feeds all three. The oracles: Pillow's own turn and conversions for pixels, the rule for names written down
once more for files, a count pixel by pixel for scores.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Sequence
from contextlib import chdir
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageOps

from stages.core.artifacts.image_index import IMAGES, read_images
from stages.core.errors import UserError
from stages.evaluate.tools.score_folder import Request, score_folder
from stages.predict.folder import predict_folder
from tests.fabricate import fabricate_segmenter
from tests.index.photographs import run

CLUSTERS = 3
PHOTOGRAPHS = (".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
KINDS = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "L", "RGBA", "LA", "P", "1", "I;16"),
    "TIFF": ("RGB", "L", "RGBA", "CMYK", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"),
}
"""Modes in which each format keeps an orientation."""


class File(NamedTuple):
    """A file of the folder."""

    path: str
    data: bytes
    shown: np.ndarray | None
    """(H, W, 3), what a viewer shows; None if it is no whole photograph."""


@st.composite
def photographs(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    """A photograph of a few even patches in any mode and orientation, and what is shown of it."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    mode, bits = draw(st.sampled_from(KINDS[kind])), draw(st.sampled_from([12, 16]))
    height, width = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    patches = rng.integers(0, 256, (height, width, 4), np.uint8)
    patches[0, 0, 0] = 255  # all bits are in use
    pixels = np.kron(patches, np.ones((16, 16, 1), np.uint8))
    image = Image.fromarray(pixels[..., :3])
    if mode == "I;16":
        image = Image.fromarray(pixels[..., 0].astype(np.uint16) << (bits - 8))
    elif mode in ("RGBA", "LA"):
        image = Image.fromarray(pixels).convert(mode)
    else:
        image = image.convert(mode)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = draw(st.integers(1, 8))
    buffer = io.BytesIO()
    image.save(buffer, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))
    return buffer.getvalue(), show(buffer.getvalue(), bits)


def show(data: bytes, bits: int) -> np.ndarray:
    """What Pillow makes of it: turned, 8 bits, on white."""
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if upright.mode == "I;16":
        return np.stack([(np.asarray(upright) >> (bits - 8)).astype(np.uint8)] * 3, -1)
    if upright.mode in ("RGBA", "LA"):
        pixels = np.asarray(upright.convert("RGBA")).astype(float)
        alpha = pixels[..., 3:] / 255
        return np.rint(pixels[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.asarray(upright.convert("RGB"))


NAMES = st.one_of(
    st.sampled_from(
        ["a", "a.b", "b c", "'\"", "two\nlines", "x\r", "-", "%s", "*", "{}", "$HOME", "é", "e\u0301", "犬", "._a"]
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12),
    st.binary(min_size=1, max_size=8).filter(lambda name: not set(name) & set(b"/\0")).map(os.fsdecode),
    st.integers(240, 251).map(lambda length: "x" * length),
)
SUFFIXES = st.one_of(
    st.sampled_from([*PHOTOGRAPHS, *PHOTOGRAPHS, ".heic", ".txt", ""]),
    st.sampled_from(PHOTOGRAPHS).map(str.upper),
)
FOLDERS = st.sampled_from(["", "", "in/", "in/deep er/", ".hidden/", "@eaDir/", "ö/"])


@st.composite
def folders(draw: st.DrawFn) -> list[File]:
    """Files of different paths, each a photograph or something else."""
    files = {}
    for _ in range(draw(st.integers(1, 6))):
        name = draw(NAMES) + draw(SUFFIXES)
        assume(name not in (".", "..", "in", "deep er", "ö") and len(os.fsencode(name)) <= 255)
        data, shown = draw(photographs())
        if draw(st.integers(0, 5)) == 0:
            data, shown = data[: len(data) // 3], None
        path = draw(FOLDERS) + name
        files[path] = File(path, data, shown)
    return list(files.values())


def is_seen(path: str) -> bool:
    return not any(part.startswith(".") or part in ("@eaDir", "Thumbs.db") for part in path.split("/"))


def is_named_well(path: str) -> bool:
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return bool(stem) and f"{dot}{suffix}".lower() in PHOTOGRAPHS and path == os.fsencode(path).decode(errors="replace")


def usable(files: Sequence[File]) -> dict[str, np.ndarray]:
    """What is shown of each photograph, by its path and in the order of these."""
    ordered = sorted(files, key=lambda file: file.path)
    return {
        file.path: file.shown
        for file in ordered
        if is_seen(file.path) and is_named_well(file.path) and file.shown is not None
    }


def write(folder: Path, files: Sequence[File]) -> None:
    folder.mkdir()
    for file in files:
        (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
        (folder / file.path).write_bytes(file.data)


def listed(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return [row["path"] for row in csv.DictReader(file)]


def readable(paths: Iterator[str]) -> list[str]:
    texts = (os.fsencode(path).decode(errors="backslashreplace") for path in paths)
    return sorted("".join(each if each.isprintable() else ascii(each)[1:-1] for each in text) for text in texts)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project with a segmenter, in which a test makes folders of its own."""
    project = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch, chdir(project):
        for name, value in (("LUSS_WORKERS", "1"), ("LUSS_DEVICE", "cpu"), ("LUSS_PRECISION", "fp32")):
            patch.setenv(name, value)
        patch.setenv("LUSS_CHECKPOINTS", str(project / ".checkpoints"))
        fabricate_segmenter(CLUSTERS)
        yield project


FEW = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


@FEW
@given(folders())
def test_index_takes_what_a_viewer_shows_and_lists_the_rest(workspace: Path, files: list[File]) -> None:
    expected, seen = {}, [file.path for file in files if is_seen(file.path)]
    for path, shown in usable(files).items():
        expected.setdefault(path.rpartition(".")[0], (path, shown))
    with TemporaryDirectory(dir=workspace) as folder, chdir(folder):
        write(Path("data"), files)
        if not expected:
            with pytest.raises(UserError, match="no usable photograph"):
                run("folder")
            return
        run("folder")
        index = read_images()
        assert index.image_ids == sorted(expected)
        for place, image_id in enumerate(index.image_ids):
            path, shown = expected[image_id]
            assert (index[place].path, index[place].height, index[place].width) == (path, *shown.shape[:2])
            np.testing.assert_allclose(index.read(place).astype(int), shown, atol=1)
        taken = {path for path, _ in expected.values()}
        assert sorted(listed(IMAGES / "rejected.csv")) == readable(path for path in seen if path not in taken)


@settings(FEW, max_examples=8)
@given(folders(), st.integers(0, 1000))
def test_what_predict_writes_score_counts_and_nothing_else(workspace: Path, files: list[File], seed: int) -> None:
    expected = usable(files)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write(root / "in", files)
        if not expected:
            with pytest.raises(UserError, match=r"no photographs|no usable photograph|is a usable photograph"):
                predict_folder(root / "in", root / "out")
            return
        predict_folder(root / "in", root / "out")
        masks = {path.relative_to(root / "out/masks").as_posix(): path for path in (root / "out/masks").rglob("*.png")}
        written = {name_of_mask(path): path for path in expected}
        assert sorted(masks) == sorted(written)
        for name, path in masks.items():
            assert load(path).shape == expected[written[name]].shape[:2]
        seen = (file.path for file in files if is_seen(file.path))
        left = readable(path for path in seen if path not in set(written.values()))
        assert sorted(listed(root / "out/rejected.csv")) == left
        check_scores(root, {name: path.rpartition(".")[0] for name, path in written.items()}, masks, seed)


def load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def name_of_mask(path: str) -> str:
    whole = f"{path}.png"
    return whole if len(whole.rpartition("/")[2].encode()) <= 255 else f"{path.rpartition('.')[0]}.png"


def check_scores(root: Path, ids: dict[str, str], masks: dict[str, Path], seed: int) -> None:
    """Draw true masks of the predictions' sizes and compare the score with a count of all pixels."""
    rng, pairs = np.random.default_rng(seed), []
    for name, image_id in ids.items():
        pred = load(masks[name])
        true = np.where(rng.random(pred.shape) < 0.5, pred, rng.integers(0, CLUSTERS + 1, pred.shape)).astype(np.uint8)
        true[0, 0] = 1
        target = root / "true" / f"{image_id}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(true).save(target)
        pairs.append((true, pred))
    request = Request(root / "true", root / "out/masks", "given", CLUSTERS, CLUSTERS)
    if len(set(ids.values())) < len(ids):
        with pytest.raises(UserError, match="are predictions of it"):
            score_folder(request)
        return
    result = score_folder(request)
    true, pred = (np.concatenate([side.ravel() for side in sides]) for sides in zip(*pairs, strict=True))
    hits, either = (
        [np.sum(how(true == each, pred == each)) for each in range(4)] for how in (np.bitwise_and, np.bitwise_or)
    )
    shares = np.array(hits) / np.maximum(either, 1)
    assert result["protocol"]["images"] == len(ids)
    assert result["protocol"]["pixels"] == true.size
    assert result["scores"]["mIoU"] == pytest.approx(100 * np.mean(shares), abs=1e-4)
