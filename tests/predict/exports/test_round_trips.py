"""What is exported is read by the library of its format, where it is installed, and equals what was written.

CONTRIBUTING.md says how these libraries are installed; continuous integration has pycocotools alone.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.artifacts.names import Naming, plain_naming
from stages.predict import load_segmenter
from stages.predict.exports.exporting import export_masks
from tests.predict.exports.test_formats import MASKS, ODD, OUT, draw_mask, name_of, write
from tests.predict.varied import draw_blocks, fabricate_varied_segmenter

# Of pycocotools itself.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

MISSING = "in the extra formats alone; see CONTRIBUTING.md"
Parts = dict[str, list[tuple[str, np.ndarray]]]
"""By photograph, as the library calls it: names of categories, and where each lies (H, W)."""
SETS: dict[str, dict[str, np.ndarray]] = {
    "many": MASKS | {'it\'s "so", ü & #é;.png': draw_mask(13, 7, 5, 3), "of two: c.png": draw_mask(9, 9, 5, 4)},
    "no component": {"größe.png": np.zeros((7, 5), np.uint16), "pixel.png": np.zeros((1, 1), np.uint16)},
    "one component": {"größe.png": np.full((7, 5), 4, np.uint16)},
    "one pixel": {'ein "Punkt", allein.png': np.full((1, 1), 5, np.uint16)},
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    OUT.mkdir()


def by_datumaro(folder: Path, kind: str) -> Parts:
    datumaro = pytest.importorskip("datumaro", reason=MISSING)
    items = datumaro.Dataset.import_from(str(folder), kind).transform("polygons_to_masks")
    names = [label.name for label in items.categories()[datumaro.AnnotationType.label]]
    mask = datumaro.AnnotationType.mask  # Boxes stand beside.
    return {
        item.id: [(names[part.label], np.asarray(part.image, bool)) for part in item.annotations if part.type == mask]
        for item in items
    }


def read_voc() -> Parts:
    return by_datumaro(OUT, "voc_segmentation")


def read_cvat() -> Parts:
    with zipfile.ZipFile(OUT / "annotations.zip") as archive:
        archive.extractall("unpacked")
    return by_datumaro(Path("unpacked"), "voc_instance_segmentation")


def read_coco(file: str) -> Parts:
    """As docs/exports.md says: datumaro wants COCO's own folders."""
    Path("coco/images").mkdir(parents=True)
    Path("coco/annotations").mkdir()
    shutil.copy(OUT / file, "coco/annotations/instances_default.json")
    return by_datumaro(Path("coco"), "coco_instances")


def read_by_pycocotools(file: str) -> Parts:
    coco = pytest.importorskip("pycocotools.coco").COCO(str(OUT / file))
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    return {
        image["file_name"]: [
            (names[part["category_id"]], coco.annToMask(part).astype(bool))
            for part in coco.loadAnns(coco.getAnnIds(image["id"]))
        ]
        for image in coco.loadImgs(coco.getImgIds())
    }


def read_by_converter() -> Parts:
    """Predictions that an annotator has submitted as they are, through the converter of Label Studio's own exports."""
    module = pytest.importorskip("label_studio_converter", reason=MISSING)
    converter = module.Converter(str(OUT / "config.xml"), str(OUT), download_resources=False)
    tasks = json.loads((OUT / "tasks.json").read_text())
    submitted = [
        {"id": number, "data": task["data"], "annotations": [{**task["predictions"][0], "id": 1, "completed_by": 1}]}
        for number, task in enumerate(tasks)
    ]
    Path("submitted.json").write_text(json.dumps(submitted))
    Path("layers").mkdir()
    converter.convert("submitted.json", "layers", "BRUSH_TO_NUMPY", is_dir=False)
    found: Parts = {task["data"]["image"].removeprefix("/data/local-files/?d="): [] for task in tasks}
    paths = list(found)
    for file in sorted(Path("layers").iterdir()):
        number, _, name = file.stem.removeprefix("task-").partition("-annotation-1-by-1-category-")
        found[paths[int(number)]].append((name.removesuffix("-0"), np.load(file) == 255))
    return found


def read_by_datasets() -> Parts:
    datasets = pytest.importorskip("datasets", reason=MISSING)
    rows = datasets.load_dataset(str(OUT), cache_dir="cache", split="train")
    names = json.loads((OUT / "id2label.json").read_text())
    found = {}
    for row in rows:
        mask = np.asarray(row["mask"])
        assert row["image"].size == mask.shape[::-1]
        found[row["path"]] = [(names[str(number)], mask == number) for number in np.unique(mask)]
    return found


READERS: dict[str, tuple[str, Callable[[], Parts], Callable[[str], str]]] = {
    "voc": ("voc", read_voc, name_of),
    "cvat": ("cvat", read_cvat, name_of),
    "coco, run lengths": ("coco", lambda: read_coco("annotations.json"), lambda path: path.rpartition(".")[0]),
    "coco, polygons": ("coco", lambda: read_coco("polygons.json"), lambda path: path.rpartition(".")[0]),
    "pycocotools, run lengths": ("coco", lambda: read_by_pycocotools("annotations.json"), str),
    "pycocotools, polygons": ("coco", lambda: read_by_pycocotools("polygons.json"), str),
    "label-studio": ("label-studio", read_by_converter, str),
    "hf-dataset": ("hf-dataset", read_by_datasets, str),
}
"""The format, how it is read, and what the library calls a photograph."""


def check_equal(reader: str, masks: Mapping[str, np.ndarray], naming: Naming) -> None:
    _, read, name = READERS[reader]
    found = read()
    assert sorted(found) == sorted(map(name, masks))
    ids = {called: number for number, called in naming.legend.items()}
    for path, mask in masks.items():
        painted = np.zeros(mask.shape, int)
        for category, place in found[name(path)]:
            assert not painted[place].any(), "no two lie upon each other"
            painted[place] = ids[category]
        np.testing.assert_array_equal(painted, mask, path)


@pytest.mark.parametrize("masks", SETS)
@pytest.mark.parametrize("reader", READERS)
def test_the_library_reads_every_pixel(reader: str, masks: str) -> None:
    kind, _, name = READERS[reader]
    # Datumaro knows a photograph of COCO by its name without a suffix, and takes no two of one name.
    first = {name(path): path for path in reversed(SETS[masks])}.values()
    chosen = {path: mask for path, mask in SETS[masks].items() if path in first}
    write(kind, chosen)
    check_equal(reader, chosen, plain_naming(5)._replace(names=ODD))


@pytest.mark.parametrize("reader", READERS)
def test_the_library_reads_what_was_predicted_for_a_folder(reader: str) -> None:
    sizes = {"größer, a.png": (60, 80), 'deep/"b".jpg': (50, 70), "pixel.png": (1, 1)}
    for path, size in sizes.items():
        Path("photos", path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw_blocks(*size)).save(Path("photos", path))
    fabricate_varied_segmenter(4, 0.4)
    assert export_masks(READERS[reader][0], Path("photos"), OUT) == 0
    segmenter = load_segmenter()
    check_equal(reader, {path: segmenter(Path("photos", path)) for path in sizes}, plain_naming(4))
