"""The layout of ImageNet-S."""

import hashlib
import os
from pathlib import Path

import pytest

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.labels import read_labels
from stages.core.errors import UserError
from tests.index.photographs import mask, photograph, put, rejected, run


def test_photographs_masks_and_categories_are_found() -> None:
    put("train/dog/a.JPEG", photograph(6, 4))
    put("train/cat/b.jpg", photograph(5, 5))
    put("validation/ant/c.png", photograph(6, 4, "PNG"))
    put("validation-segmentation/ant/c.png", mask(1, 2, 3, 1000))
    put("test/dog/d.jpg", photograph(6, 4))
    run("imagenet_s", classes=3)

    index, labels = read_images(), read_labels()
    assert index.image_ids == ["test/dog/d", "train/cat/b", "train/dog/a", "validation/ant/c"]
    assert [photo.split for photo in map(index.__getitem__, range(4))] == ["test", "train", "train", "validation"]
    first = index.in_splits("train")[1]
    content = Path("data/train/dog/a.JPEG").read_bytes()
    assert first[2:] == ("train/dog/a.JPEG", 4, 6, len(content), hashlib.sha256(content).hexdigest())
    assert index.read(3).shape == (4, 6, 3)

    assert labels.classes == {1: "ant", 2: "cat", 3: "dog"}
    assert labels.mask_path("validation/ant/c") == "validation-segmentation/ant/c.png"
    assert labels.mask_path("test/dog/d") is None
    assert labels.class_name("train/cat/b") == "cat"
    assert rejected("images") == rejected("labels") == {}


def test_the_folder_is_the_category_whatever_the_file_is_called() -> None:
    put("train/n04355933/n04356056_1.JPEG", photograph())
    put("train/n04355933/merged/n04356056_2.JPEG", photograph())
    put("validation/n02808440/ILSVRC2012_val_00000001.JPEG", photograph())
    put("validation-segmentation/n02808440/ILSVRC2012_val_00000001.png", mask(2))
    run("imagenet_s", classes=None)
    labels = read_labels()
    assert labels.classes == {1: "n02808440", 2: "n04355933"}
    assert labels.class_name("train/n04355933/n04356056_1") == "n04355933"
    assert labels.class_name("train/n04355933/merged/n04356056_2") == "n04355933"
    assert labels.mask_path("validation/n02808440/ILSVRC2012_val_00000001") is not None


def test_train_masks_are_labels_and_other_folders_are_not_touched() -> None:
    put("train/cat/a.jpg", photograph())
    put("train-segmentation/cat/a.png", mask(1))
    put("train-segmentation-oracle/cat/a.png", b"broken")
    put("README.txt", b"about the set")
    put("train/cat/.DS_Store", b"")
    put("train/.cache/c.jpg", photograph())
    run("imagenet_s", classes=1)
    assert read_images().image_ids == ["train/cat/a"]
    assert read_labels().mask_path("train/cat/a") == "train-segmentation/cat/a.png"
    assert rejected("images") == rejected("labels") == {}


def test_masks_of_train_semi_belong_to_the_photographs_of_train() -> None:
    """One that train does not hold is a photograph of train by itself; none counts twice."""
    for name in ("a", "b", "c"):
        put(f"train/cat/{name}.JPEG", photograph())
    for name in ("a", "b", "x"):
        put(f"train-semi/cat/{name}.JPEG", photograph())
        put(f"train-semi-segmentation/cat/{name}.png", mask(1))
    put("train-semi-segmentation/cat/gone.png", mask(1))
    run("imagenet_s", classes=1)
    index, labels = read_images(), read_labels()
    assert index.in_splits("train").image_ids == ["train-semi/cat/x", "train/cat/a", "train/cat/b", "train/cat/c"]
    assert [labels.mask_path(image_id) for image_id in index.image_ids] == [
        *(f"train-semi-segmentation/cat/{name}.png" for name in ("x", "a", "b")),
        None,
    ]
    assert labels.class_name("train-semi/cat/x") == "cat"
    assert rejected("images") == {}
    assert rejected("labels") == {"train-semi-segmentation/cat/gone.png": "no photograph train-semi/cat/gone.*"}


def test_links_are_followed_and_circles_left() -> None:
    for name in ("a", "b"):
        put(f"../store/{name}.jpg", photograph())
    put("train/cat/own.jpg", photograph())
    Path("data/train/dog").symlink_to(Path("store").resolve())
    Path("data/train/cat/linked.jpg").symlink_to(Path("store/a.jpg").resolve())
    Path("data/train/cat/circle").symlink_to(Path("data/train").resolve())
    Path("data/train/cat/gone.jpg").symlink_to("nowhere.jpg")
    run("imagenet_s", classes=None)
    assert read_images().image_ids == ["train/cat/linked", "train/cat/own", "train/dog/a", "train/dog/b"]
    assert rejected("images") == {"train/cat/gone.jpg": "a link that leads nowhere"}


def test_a_folder_without_photographs_keeps_its_id_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    put("train/ant/a.jpg", photograph())
    put("train/cat/a.jpg", photograph())
    put("train/dog/readme.txt", b"")
    Path("data/train/bee").mkdir()
    Path("data/validation/eel").mkdir(parents=True)
    put("train-segmentation/cat/a.png", mask(3))
    run("imagenet_s", classes=5)
    labels = read_labels()
    assert labels.classes == {1: "ant", 2: "bee", 3: "cat", 4: "dog", 5: "eel"}
    assert labels.mask_path("train/cat/a") is not None
    assert list(rejected("images")) == ["train/dog/readme.txt"]
    told = "index: 3 of 5 category folders hold no photograph, and keep their ids: bee, dog, eel\n"
    last = "index: 1 file cannot be used as photographs: see artifacts/index/images/rejected.csv\n"
    assert capsys.readouterr().out.endswith(told + last)


def test_what_systems_put_beside_photographs_is_no_category() -> None:
    put("train/cat/a.jpg", photograph())
    for name in (
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
        "__MACOSX/a.jpg",
        ".cache/a.jpg",
        "cat/Thumbs.db",
        "cat/._a.jpg",
    ):
        put(f"train/{name}", photograph())
    Path("data/train/again").symlink_to(Path("data").resolve())
    run("imagenet_s", classes=1)
    assert read_labels().classes == {1: "cat"}
    assert read_images().image_ids == ["train/cat/a"]
    assert rejected("images") == {}


def test_a_category_whose_name_is_no_text_is_refused_since_ids_would_shift() -> None:
    put("train/cat/a.jpg", photograph())
    put(os.fsdecode(b"train/ant\xe9/a.jpg"), photograph())
    with pytest.raises(UserError, match=r"^data: category folder ant\\xe9: the name is not UTF-8; rename the folder"):
        run("imagenet_s", classes=None)


def test_a_category_of_broken_photographs_keeps_its_id() -> None:
    put("train/ant/a.jpg", b"")
    put("train/cat/b.jpg", photograph())
    run("imagenet_s", classes=None)
    assert read_labels().classes == {1: "ant", 2: "cat"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("test/cat/a.jpg", r"^data/train: no such folder. The layout is .*luss use METHOD folder.*luss sample"),
        ("ImageNetS50/train/cat/a.jpg", "data/ImageNetS50 holds one: move what is in it one level up"),
        ("train/a.jpg", "(?s)no usable photograph.*train/a.jpg: lies in no category folder.*data/<split>/<category>/"),
        ("train/cat/a.heic", "(?s)no usable photograph.*train/cat/a.heic: suffix '.heic' is not one of .bmp .gif"),
    ],
)
def test_photographs_in_the_wrong_place_are_explained(path: str, message: str) -> None:
    put(path, photograph())
    with pytest.raises(UserError, match=message):
        run("imagenet_s", classes=None)
    assert not Path("artifacts").exists()


def test_another_name_for_validation_is_explained() -> None:
    put("train/cat/a.jpg", photograph())
    put("val/cat/b.jpg", photograph())
    with pytest.raises(UserError, match="data/val: this layout calls the folder validation; rename it"):
        run("imagenet_s", classes=None)


def test_a_wrong_number_of_categories_is_refused() -> None:
    put("train/cat/a.jpg", photograph())
    put("train/dog/a.jpg", photograph())
    with pytest.raises(UserError, match=r"2 category folders \(cat, dog ...\), but index.classes = 1"):
        run("imagenet_s", classes=1)


def test_more_categories_than_masks_can_tell_apart_are_refused_if_there_are_masks() -> None:
    data = photograph(1, 1, "PNG")
    for number in range(1000):
        put(f"train/n{number:04d}/a.png", data)
    run("imagenet_s", classes=1000)
    put("train-segmentation/n0000/a.png", mask(1, width=1, height=1))
    with pytest.raises(UserError, match="1000 category folders, but masks tell at most 999 apart"):
        run("imagenet_s", classes=1000)
