"""Photographs of 8000 x 6000 pixels and 65,000 components, in every format, are read back pixel by pixel."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest

from stages.core.artifacts.names import plain_naming
from stages.core.png_files import encode_png
from stages.predict.exports import find_writer
from stages.predict.exports.writer import Segmented
from tests.predict.exports.test_formats import ODD, decode_brush, load

OUT = Path("out")
Mask = npt.NDArray[np.uint16]


def read_zip(name: str) -> Mask:
    with zipfile.ZipFile(OUT / "annotations.zip") as archive:
        lines = archive.read("labelmap.txt").decode().splitlines()[1:]
        painted = load(io.BytesIO(archive.read(f"SegmentationClass/{name}.png")))
    mask = np.zeros(painted.shape[:2], np.uint16)
    for number, line in enumerate(lines):
        wanted = tuple(map(int, line.split(":")[1].split(",")))
        mask[np.logical_and.reduce([painted[..., n] == wanted[n] for n in range(3)])] = number
    return mask


def read_coco(file: str) -> Mask:
    """Categories are merged, and their area is that of their parts: no two overlap."""
    api = pytest.importorskip("pycocotools.mask")
    found = json.loads((OUT / file).read_text())
    (image,) = found["images"]
    size = image["height"], image["width"]
    mask = np.zeros(size, np.uint16)
    for number in {each["category_id"] for each in found["annotations"]}:
        parts = [each for each in found["annotations"] if each["category_id"] == number]
        coded = [each["segmentation"] for each in parts]
        runs = api.frPyObjects([each[0] for each in coded], *size) if isinstance(coded[0], list) else coded
        some = range(0, len(runs), 200)  # pycocotools 2 counts the areas of at most 255 at once.
        areas = [area for start in some for area in api.area(runs[start : start + 200]).tolist()]
        assert areas == [each["area"] for each in parts]
        whole = api.decode(api.merge(runs)).astype(bool)
        assert whole.sum() == sum(each["area"] for each in parts)
        mask[whole] = number
    return mask


def read_brushes() -> Mask:
    (task,) = json.loads((OUT / "tasks.json").read_text())
    results = task["predictions"][0]["result"]
    mask = np.zeros((results[0]["original_height"], results[0]["original_width"]), np.uint16)
    numbers = {name: number for number, name in NAMING.legend.items()}
    for result in results:
        alpha = decode_brush(result["value"]["rle"])[3::4].reshape(mask.shape)
        mask[alpha == 255] = numbers[result["value"]["brushlabels"][0]]
    return mask


def read_table() -> Mask:
    (file,) = (OUT / "data").iterdir()
    (row,) = pq.read_table(file).to_pylist()
    return load(io.BytesIO(row["mask"]["bytes"]))


NAMING = plain_naming(5)._replace(names=ODD)
READERS: dict[str, list[Callable[[], Mask]]] = {
    "png": [lambda: load(OUT / "masks/a.png")],
    "voc": [lambda: load(OUT / "SegmentationClass/a.png")],
    "cvat": [lambda: read_zip("a")],
    "coco": [lambda: read_coco("annotations.json"), lambda: read_coco("polygons.json")],
    "label-studio": [read_brushes],
    "hf-dataset": [read_table],
    "fiftyone": [lambda: load(OUT / "labels/a.png")],
}


def draw_checkers() -> Mask:
    """Every second pixel is a component: 65,000 of them."""
    return (np.indices((250, 520)).sum(0) % 2).astype(np.uint16)


def draw_wide() -> Mask:
    """Stripes and a block, as large as a camera's photograph."""
    mask = np.zeros((6000, 8000), np.uint16)
    mask[100:2000, 50:7990] = 1
    mask[300:900, 400:4000] = 5
    mask[3000:, :4001] = 2
    mask[5999, 7999] = 3
    return mask


LONG = pytest.mark.long
"""pycocotools merges 65,000 parts in 20 s."""


@pytest.fixture(scope="module", params=[draw_checkers, pytest.param(draw_wide, marks=pytest.mark.long)])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Segmented:
    folder = tmp_path_factory.mktemp("photographs")
    mask = request.param()
    image = np.full((*mask.shape, 3), 90, np.uint8)
    (folder / "a.png").write_bytes(encode_png(image))
    return Segmented("a.png", folder, image, mask)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Of pycocotools itself.
@pytest.mark.parametrize("kind", [pytest.param(kind, marks=LONG if kind == "coco" else ()) for kind in READERS])
def test_every_pixel_returns(kind: str, large: Segmented, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    OUT.mkdir()
    writer = find_writer(kind)(OUT, NAMING)
    writer.add(large)
    writer.finish()
    for read in READERS[kind]:
        np.testing.assert_array_equal(read(), large.mask)
