"""Every format is read back by its own library, or by a decoder written here from its specification."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from stages.core.artifacts.names import Naming, plain_naming
from stages.core.errors import UserError
from stages.core.images.palette import color, css_color
from stages.predict.exports import FORMATS, find_writer
from stages.predict.exports.polygons import outline
from stages.predict.exports.writer import Segmented

OUT = Path("out")
ODD = {1: "Größe, 1", 2: 'a "quoted" <name>', 5: "it's & more"}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    OUT.mkdir()


def draw_mask(height: int, width: int, most: int, seed: int = 0) -> np.ndarray:
    """Patches with holes, and single pixels that touch at corners."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, most + 1, (height // 4 + 1, width // 4 + 1))
    mask = np.kron(coarse, np.ones((4, 4), int))[:height, :width]
    return np.where(rng.random(mask.shape) < 0.1, rng.integers(0, most + 1, mask.shape), mask).astype(np.uint16)


MASKS = {
    "deep/a,b ü.png": draw_mask(31, 47, 5),
    "one.png": np.ones((1, 1), np.uint16),
    "nothing.png": np.zeros((8, 9), np.uint16),
    "one.jpg": np.full((5, 3), 2, np.uint16),
    "checked.png": np.indices((24, 24)).sum(0).astype(np.uint16) % 2 * 5,
}


SEEN_AS_OBJECTS = set(MASKS) - {"checked.png"}


def write(kind: str, masks: dict[str, np.ndarray], naming: Naming | None = None) -> str:
    """Write the photographs and their masks; the photographs are gray."""
    writer = find_writer(kind)(OUT, naming or plain_naming(5)._replace(names=ODD))
    for path, mask in masks.items():
        image = np.full((*mask.shape, 3), 90, np.uint8)
        Path("photos", path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(Path("photos", path))
        writer.add(Segmented(path, Path("photos"), image, mask))
    return writer.finish()


def load(file: Path | io.BytesIO) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image)


def name_of(path: str) -> str:
    return path if path == "one.jpg" else path.rpartition(".")[0]


def test_png() -> None:
    write("png", MASKS)
    for path, mask in MASKS.items():
        with Image.open(OUT / f"masks/{name_of(path)}.png") as image:
            assert image.mode == "P"
            np.testing.assert_array_equal(np.asarray(image), mask)
            colors = np.array(image.getpalette(), np.uint8).reshape(-1, 3)
        assert [tuple(colors[number]) for number in range(6)] == [(0, 0, 0), *map(color, range(1, 6))]
    assert (OUT / "classes.csv").read_text().splitlines()[2] == f'1,"Größe, 1",{css_color(1)}'


def test_voc() -> None:
    write("voc", MASKS)
    names = (OUT / "ImageSets/Segmentation/default.txt").read_text().splitlines()
    assert names == list(map(name_of, MASKS))
    for name, (path, mask) in zip(names, MASKS.items(), strict=True):
        np.testing.assert_array_equal(load(OUT / f"SegmentationClass/{name}.png"), mask)
        suffix = path.rpartition(".")[2]
        assert (OUT / f"JPEGImages/{name}.{suffix}").read_bytes() == Path("photos", path).read_bytes()


def test_cvat_paints_categories_and_objects_in_declared_colors() -> None:
    write("cvat", MASKS)
    with zipfile.ZipFile(OUT / "annotations.zip") as archive:
        lines = archive.read("labelmap.txt").decode().splitlines()[1:]
        declared = {line.split(":")[0]: tuple(map(int, line.split(":")[1].split(","))) for line in lines}
        assert list(declared) == ["background", ODD[1], ODD[2], "category 3", "category 4", ODD[5]]
        rgb = np.array(list(declared.values()))
        for path, mask in MASKS.items():
            painted = load(io.BytesIO(archive.read(f"SegmentationClass/{name_of(path)}.png")))
            np.testing.assert_array_equal(painted, rgb[mask])
            if path not in SEEN_AS_OBJECTS:
                assert f"SegmentationObject/{name_of(path)}.png" not in archive.namelist(), "more than VOC has colors"
                continue
            objects = load(io.BytesIO(archive.read(f"SegmentationObject/{name_of(path)}.png"))).astype(int)
            keys = objects @ [65536, 256, 1]
            np.testing.assert_array_equal(keys == 0, mask == 0)
            for key in np.unique(keys[keys > 0])[:40]:
                assert flood(keys == key), "one object hangs together"
                assert len(np.unique(mask[keys == key])) == 1


def flood(found: np.ndarray) -> bool:
    """Whether all pixels are reached from the first by sides."""
    waiting = [tuple(np.argwhere(found)[0])]
    left = {tuple(place) for place in np.argwhere(found)} - set(waiting)
    while waiting:
        y, x = waiting.pop()
        near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
        left -= near
        waiting += near
    return not left


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Of pycocotools itself.
@pytest.mark.parametrize("file", ["annotations.json", "polygons.json"])
def test_coco(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    coco_module = pytest.importorskip("pycocotools.coco")
    write("coco", MASKS)
    coco = coco_module.COCO(str(OUT / file))
    assert [category["name"] for category in coco.loadCats(coco.getCatIds())] == [
        ODD[1], ODD[2], "category 3", "category 4", ODD[5],
    ]  # fmt: skip
    for image in coco.loadImgs(coco.getImgIds()):
        mask = MASKS[image["file_name"]]
        assert (image["height"], image["width"]) == mask.shape
        read = np.zeros(mask.shape, int)
        for annotation in coco.loadAnns(coco.getAnnIds(image["id"])):
            found = coco.annToMask(annotation).astype(bool)
            assert not read[found].any(), "components do not overlap"
            read[found] = annotation["category_id"]
            rows, columns = np.flatnonzero(found.any(1)), np.flatnonzero(found.any(0))
            box = [columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1]
            assert (annotation["area"], annotation["bbox"]) == (found.sum(), box)
            if mask.size < 600:
                assert flood(found)
        np.testing.assert_array_equal(read, mask)


def decode_brush(data: list[int]) -> np.ndarray:
    """Bit by bit, as Label Studio's own decoder in JavaScript does."""
    bits, place = "".join(f"{byte:08b}" for byte in data), 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, size = read(32), read(5) + 1
    lengths, parts, done = [read(4) + 1 for _ in range(4)], list[np.ndarray](), 0
    while done < total:
        is_run = read(1)
        count = read(lengths[read(2)]) + 1
        parts.append(np.full(count, read(size), np.uint8) if is_run else np.array([read(size) for _ in range(count)]))
        done += count
    return np.concatenate(parts)


def test_label_studio() -> None:
    write("label-studio", MASKS | {"long.png": np.ones((200, 300), np.uint16)})
    config = ElementTree.parse(OUT / "config.xml")
    assert [label.get("value") for label in config.iter("Label")][1:4] == [ODD[2], "category 3", "category 4"]
    numbers = {label.get("value"): number for number, label in enumerate(config.iter("Label"), start=1)}
    for task, (path, mask) in zip(json.loads((OUT / "tasks.json").read_text()), MASKS.items(), strict=False):
        assert task["data"]["image"] == f"/data/local-files/?d={path}"
        read = np.zeros(mask.shape, int)
        for result in task["predictions"][0]["result"]:
            assert (result["original_height"], result["original_width"]) == mask.shape
            painted = decode_brush(result["value"]["rle"]).reshape(*mask.shape, 4)
            assert (painted == painted[..., :1]).all()
            read[painted[..., 3] == 255] = numbers[result["value"]["brushlabels"][0]]
        np.testing.assert_array_equal(read, mask)


def test_hf_dataset() -> None:
    write("hf-dataset", MASKS)
    (file,) = (OUT / "data").iterdir()
    table = pq.read_table(file)
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert [value["_type"] for value in features.values()] == ["Image", "Image", "Value"]
    for row in table.to_pylist():
        np.testing.assert_array_equal(load(io.BytesIO(row["mask"]["bytes"])), MASKS[row["path"]])
        assert row["image"]["bytes"] == Path("photos", row["path"]).read_bytes()
    assert json.loads((OUT / "id2label.json").read_text())["1"] == ODD[1]


def test_fiftyone() -> None:
    write("fiftyone", MASKS)
    pairs = {path.relative_to(OUT / "labels").with_suffix("").as_posix() for path in (OUT / "labels").rglob("*.png")}
    assert pairs == set(map(name_of, MASKS))
    for path, mask in MASKS.items():
        np.testing.assert_array_equal(load(OUT / f"labels/{name_of(path)}.png"), mask)
    assert json.loads((OUT / "mask_targets.json").read_text())["5"] == ODD[5]


def test_merged_and_hidden_categories_have_no_names_of_their_own() -> None:
    naming = Naming(np.array([0, 1, 1, 0], np.uint16), {1: "dog"})
    write("png", {"a.png": naming.apply(np.array([[0, 1], [2, 3]], np.uint16))}, naming)
    np.testing.assert_array_equal(load(OUT / "masks/a.png"), [[0, 1], [1, 0]])
    assert [line.split(",")[:2] for line in (OUT / "classes.csv").read_text().splitlines()[1:]] == [
        ["0", "background"],
        ["1", "dog"],
    ]


@pytest.mark.parametrize("kind", ["label-studio", "cvat", "png"])
def test_more_components_than_sixteen_bits_count(kind: str) -> None:
    """Every second pixel of a checkered photograph is one."""
    mask = (np.indices((256, 520)).sum(0) % 2).astype(np.uint16)
    assert mask.sum() > 65_536
    write(kind, {"checked.png": mask})


def test_what_does_not_fit_a_format_is_said() -> None:
    with pytest.raises(UserError, match="holds categories up to 254, found 300; merge some"):
        write("voc", {}, plain_naming(300))
    with pytest.raises(UserError, match=r"names.yaml: 'a:b': labelmap.txt of this format cannot hold a colon"):
        write("cvat", {}, plain_naming(3)._replace(names={1: "a:b"}))
    with pytest.raises(UserError, match=r"--format coko: no such format \(did you mean 'coco'\?\); there are: png, "):
        find_writer("coko")
    wide = draw_mask(20, 20, 300)
    write("png", {"a.png": wide}, plain_naming(300))
    np.testing.assert_array_equal(load(OUT / "masks/a.png"), wide)
    assert all(map(find_writer, FORMATS))


@pytest.mark.parametrize("draw", [lambda rng: rng.random((9, 11)) < 0.6, lambda rng: rng.random((30, 30)) < 0.9])
def test_an_outline_encloses_its_pixels(draw: Callable[[np.random.Generator], np.ndarray]) -> None:
    """By the even-odd rule at the centers of pixels, counted here."""
    import cv2

    rng = np.random.default_rng(1)
    for _ in range(5):
        count, parts = cv2.connectedComponents(draw(rng).astype(np.uint8), connectivity=4)
        for number in range(1, min(count, 6)):
            corners = np.reshape(outline(parts == number), (-1, 2))
            ends = np.roll(corners, -1, 0)
            centers = np.stack(np.meshgrid(np.arange(parts.shape[1]) + 0.5, np.arange(parts.shape[0]) + 0.5), -1)
            crossed = np.zeros(parts.shape, int)
            for (x0, y0), (x1, y1) in zip(corners.tolist(), ends.tolist(), strict=True):
                y = centers[..., 1]
                meets = (np.minimum(y0, y1) < y) & (y < np.maximum(y0, y1))
                at = x0 + (y - y0) * (x1 - x0) / ((y1 - y0) or 1)
                crossed += meets & (at < centers[..., 0])
            np.testing.assert_array_equal(crossed % 2 == 1, parts == number)
