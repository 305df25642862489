"""`luss data check`: what `index` sees of a data set, ids that no class names, and the recipes that fit."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flows.cli.data_check import describe_data
from flows.recipes.composing import Recipe, write_params
from flows.recipes.fitting import find_fitting
from stages.core.errors import UserError
from tests.index.miniatures import VOC, gray, palette, put_cityscapes, put_coco, put_voc
from tests.index.photographs import encode, mask, photograph, put
from tests.project.rooms import ROOT


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")


def test_splits_sizes_ids_and_what_is_left_out_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    names = put_voc()
    put(f"{VOC}/JPEGImages/{names[0]}.jpg", photograph(5, 4))
    put(f"{VOC}/SegmentationClass/{names[2]}.png", palette(np.array([[0, 0, 0], [0, 99, 99]])))
    write_params(Recipe("swav", "voc"))
    describe_data()
    told = capsys.readouterr().out
    assert "train: 2 photographs of 3x2 to 5x4 pixels (median 4x3), 1 with a mask" in told
    assert "validation: 2 photographs of 3x2 pixels, 1 with a mask" in told
    assert f"{names[0]}.png: 3x2 pixels, but the photograph has 5x4" in told
    # Three masks of [[0, 7, 20], [255, 12, 0]] and the one above: of 24 pixels 10 are 0, 3 each, 2 are 99.
    shares = dict(re.findall(r"^  (\d+): .*, ([\d.]+) %$", told, re.MULTILINE))
    assert shares == {"0": "41.67", "7": "12.50", "12": "12.50", "20": "12.50", "255": "12.50", "99": "8.33"}
    assert "  255: void" in told
    assert "  99: NO CLASS" in told
    assert (
        f"ids that are neither a class, background nor void: 99 (e.g. {VOC}/SegmentationClass/{names[2]}.png)" in told
    )
    assert "17 classes of which train shows nothing: aeroplane, bicycle, bird, boat, bottle, bus, cat," in told
    assert "Recipes of data sets that find photographs here: voc (4 photographs, 4 masks), folder (" in told
    assert "folder (6 photographs, 0 masks, but takes 4 masks for photographs)" in told
    assert not Path("artifacts").exists()


def test_a_few_photographs_of_each_split_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    names = put_voc()
    put(f"{VOC}/JPEGImages/{names[1]}.jpg", b"broken, but not looked at")
    write_params(Recipe("swav", "voc"))
    describe_data(1)
    told = capsys.readouterr().out
    assert "(of each split at most 1 photograph, evenly spread over it)" in told
    assert "train: 1 photograph of 3x2 pixels, 1 with a mask" in told
    assert "validation: 1 photograph of 3x2 pixels, 1 with a mask" in told
    assert "cannot be used" not in told


def test_a_class_without_a_train_photograph_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    put("train/cat/a.jpg", photograph())
    put("validation/dog/b.jpg", photograph())
    put("validation-segmentation/dog/b.png", mask(2))
    write_params(Recipe("swav", "sample"))
    describe_data()
    told = capsys.readouterr().out
    assert "1 class of which train shows nothing: dog" in told
    assert "  0: background, 95.83 %\n  2: dog, 4.17 %" in told


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(Image.new("RGB", (3, 2)), "PNG"), "PNG with RGB; masks of this layout hold one id per pixel"),
        (encode(Image.new("RGBA", (3, 2)), "PNG"), "PNG with RGB with alpha; masks of this layout"),
        (photograph(3, 2), "not a PNG; masks are lossless PNG files"),
        (palette(np.zeros((2, 2))), "2x2 pixels, but the photograph has 3x2 (after EXIF rotation)"),
        (palette(np.full((2, 3), 21)), "id 21, which is neither a class, background nor void"),
    ],
    ids=["RGB", "RGBA", "JPEG", "size", "ids"],
)
def test_masks_that_cannot_be_used_end_the_check_in_one_line_that_names_one(data: bytes, reason: str) -> None:
    first, *_, last = put_voc()
    write_params(Recipe("swav", "voc"))
    assert describe_data() == ""
    place = f"{VOC}/SegmentationClass"
    put(f"{place}/{last}.png", data)
    said = describe_data()
    assert said.startswith(f"data/{place}/{last}.png: no usable mask ({reason}")
    assert said.endswith("; mend the file or move it away: `index` goes on, but its photograph is not scored")
    assert "\n" not in said
    put(f"{place}/{first}.png", data)
    assert f"data/{place}/{first}.png" in (said := describe_data())
    assert ", and 1 more as listed above; " in said


def test_where_the_layout_does_not_fit_the_recipe_that_does_is_named() -> None:
    put_cityscapes()
    write_params(Recipe("swav", "sample"))
    with pytest.raises(
        UserError, match=r"(?s)^data/train: no such folder.*photographs here: cityscapes19 \(4 photo"
    ) as e:
        describe_data()
    assert "cityscapes27 (4 photographs, 4 masks), folder (" in str(e.value)


def test_a_recipe_fits_by_its_files() -> None:
    put_coco()
    put("val2017/000000000139.txt", gray(np.zeros((2, 3))))
    fits = [fit.recipe for fit in find_fitting()]
    assert fits == ["coco_stuff171", "coco_stuff27", "coco_things80", "coco_voc21", "folder"]
