"""Every data set's recipe on a miniature of its official tree, and what is wrong with such trees."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from flows.recipes.reading import RECIPES
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.labels import read_labels
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from tests.index.miniatures import IDS, VOC, gray, palette, put_cityscapes, put_coco, put_coco2014, put_lip, put_voc
from tests.index.photographs import encode, photograph, put, rejected, run

V = IGNORE_ID
TREES: dict[str, tuple[Callable[[], Any], list[list[int]]]] = {
    "voc": (put_voc, [[0, 7, 20], [V, 12, 0]]),
    "coco_stuff27": (put_coco, [[10, 12, 8], [V, 9, 14]]),
    "coco_stuff171": (put_coco, [[1, 8, 20], [V, 12, 90]]),
    "coco_things80": (put_coco, [[1, 8, 20], [V, 12, 0]]),
    "coco_voc21": (put_coco, [[15, 0, 10], [V, 0, 0]]),
    "coco2014": (put_coco2014, [[1, 8, 20], [V, 12, 0]]),
    "cityscapes27": (put_cityscapes, [[V, 1, 14], [V, 6, 27]]),
    "cityscapes19": (put_cityscapes, [[V, 1, 8], [V, 4, 19]]),
    "lip19": (put_lip, [[0, 7, 19], [V, 12, 14]]),
    "lip16": (put_lip, [[0, 7, 16], [V, 12, 14]]),
    "lip5": (put_lip, [[0, 2, 5], [V, 2, 3]]),
}
"""By recipe the tree, and the class ids of its masks, counted by hand in the data set's list of classes."""


def use(dataset: str, **fields: object) -> None:
    section = yaml.safe_load((RECIPES / f"datasets/{dataset}.yaml").read_text())["index"]
    run(**{**section, **fields})


def of_voc(split: str = "train", **fields: object) -> dict[str, dict[str, object]]:
    """The recipe's splits with other fields in one of them."""
    splits = yaml.safe_load((RECIPES / "datasets/voc.yaml").read_text())["index"]["splits"]
    return {**splits, split: {**splits[split], **fields}}


@pytest.mark.parametrize("dataset", TREES)
def test_an_official_tree_is_indexed_as_it_is_unpacked(dataset: str) -> None:
    put_tree, expected = TREES[dataset]
    put_tree()
    use(dataset)
    index, labels = read_images(), read_labels()
    assert len(index.in_splits("train")) == len(index.in_splits("validation")) == 2
    assert len(index) == 4
    for image_id in index.image_ids:
        np.testing.assert_array_equal(labels.read_mask(image_id), expected)
    assert rejected("images") == rejected("labels") == {}


def test_the_folders_of_voc_may_lie_in_data_itself_and_its_lists_make_the_splits() -> None:
    names = put_voc(root=".")
    use("voc")
    index = read_images()
    assert index.in_splits("train").image_ids == [f"JPEGImages/{name}" for name in names[:2]]
    assert index.in_splits("validation").image_ids == [f"JPEGImages/{name}" for name in names[2:]]


def test_masks_of_sbd_are_a_folder_and_a_list_of_pairs_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_, last = put_voc()
    put(f"{VOC}/SegmentationClassAug/{second}.png", gray(np.full((2, 3), 5)))
    lines = [f"/JPEGImages/{name}.jpg /SegmentationClassAug/{name}.png" for name in (second, "2012_000004")]
    put(f"{VOC}/ImageSets/Segmentation/trainaug.txt", "\n".join(lines).encode())
    listed, masks = f"{VOC}/ImageSets/Segmentation/trainaug.txt", f"{VOC}/SegmentationClassAug"
    use("voc", splits=of_voc(listed_in=listed, masks=masks))
    assert read_images().in_splits("train").image_ids == [f"{VOC}/JPEGImages/{second}", f"{VOC}/JPEGImages/2012_000004"]
    assert read_labels().mask_path(f"{VOC}/JPEGImages/{second}") == f"{masks}/{second}.png"
    assert (
        f"no mask for 1 of 2 photographs of split train, e.g. {VOC}/JPEGImages/2012_000004" in capsys.readouterr().out
    )
    assert read_labels().mask_path(f"{VOC}/JPEGImages/{last}") == f"{VOC}/SegmentationClass/{last}.png"
    assert first not in str(read_images().image_ids)


def test_a_curated_list_names_what_is_scored() -> None:
    put_coco()
    put("curated/val2017/Coco164kFull_Stuff_Coarse_7.txt", b"000000000285\n")
    splits = yaml.safe_load((RECIPES / "datasets/coco_stuff27.yaml").read_text())["index"]["splits"]
    splits["validation"]["listed_in"] = "curated/val2017/Coco164kFull_Stuff_Coarse_7.txt"
    use("coco_stuff27", splits=splits)
    assert read_images().in_splits("validation").image_ids == ["val2017/000000000285"]
    assert rejected("labels") == {}


RGB = Image.fromarray(np.full((2, 3, 3), 128, np.uint8))
BAD_MASKS = {
    "RGB": (
        encode(RGB, "PNG"),
        "PNG with RGB; masks of this layout hold one id per pixel, gray or with a palette: take",
    ),
    "RGBA": (encode(RGB.convert("RGBA"), "PNG"), "PNG with RGB with alpha; masks of this layout hold one id per pixel"),
    "JPEG": (photograph(3, 2), "not a PNG; masks are lossless PNG files"),
    "size": (palette(IDS["voc"][:, :2]), r"2x2 pixels, but the photograph has 3x2 \(after EXIF rotation\)"),
    "ids": (palette(IDS["voc"] + 21), "id 21, 28, 33, 41, which is neither a class, background nor void"),
    "truncated": (palette(IDS["voc"])[:-25], "broken|truncated|cannot be decoded"),
}


@pytest.mark.parametrize("kind", BAD_MASKS)
def test_a_mask_of_another_kind_is_listed_and_its_photograph_kept(kind: str) -> None:
    data, reason = BAD_MASKS[kind]
    name = put_voc()[2]
    put(f"{VOC}/SegmentationClass/{name}.png", data)
    use("voc")
    assert len(read_images()) == 4
    assert read_labels().mask_path(f"{VOC}/JPEGImages/{name}") is None
    assert list(reasons := rejected("labels")) == [f"{VOC}/SegmentationClass/{name}.png"]
    assert re.search(reason, *reasons.values())


def test_a_mask_with_another_suffix_is_listed() -> None:
    name = put_voc()[2]
    path = Path(f"data/{VOC}/SegmentationClass/{name}")
    path.with_suffix(".png").rename(path.with_suffix(".jpg"))
    use("voc")
    assert rejected("labels") == {f"{VOC}/SegmentationClass/{name}.jpg": "suffix '.jpg' is not one of .png"}


LIST = f"data/{VOC}/ImageSets/Segmentation/train.txt"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            None,
            r"^data/ImageSets/Segmentation/train\.txt or data/VOCdevkit/.*/train\.txt: no such file; it",
        ),
        ("", rf"^{LIST}: the list is empty; it wants one name of a photograph per line"),
        (
            "2007_000032\n2008_000008\n2009_000001\n",
            rf"^{LIST}: names 2008_000008 and 1 more, but data/{VOC}/JPEGImages holds no such photograph; unpack",
        ),
        (
            "2007_000032\n2007_000033\n",
            rf"^data/{VOC}/JPEGImages/2007_000033\.jpg: listed in the splits train and valid",
        ),
        ("2007_000032\n\0", rf"^{LIST}: not a text in UTF-8"),
    ],
)
def test_a_list_that_cannot_be_followed_ends_in_one_line(content: str | None, message: str) -> None:
    put_voc()
    Path(LIST).unlink() if content is None else Path(LIST).write_text(content)
    with pytest.raises(UserError, match=message) as caught:
        use("voc")
    assert "\n" not in str(caught.value)
    assert not Path("artifacts").exists()


def test_photographs_in_another_place_are_asked_for() -> None:
    put("train/cat/a.jpg", photograph())
    with pytest.raises(
        UserError, match=r"^data/train2017 or data/images/train2017 or .*: no such folder; .*photographs=FOLDER"
    ):
        use("coco_stuff27")


def test_photographs_without_masks_can_be_learnt_from() -> None:
    put_voc()
    shutil.rmtree(f"data/{VOC}/SegmentationClass")
    use("voc")
    assert len(read_images()) == 4
    assert read_labels().mask_path(read_images().image_ids[0]) is None


def test_splits_without_train_are_refused() -> None:
    with pytest.raises(UserError, match="splits name no train"):
        use("voc", splits={"validation": of_voc()["validation"]})
