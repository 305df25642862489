"""The layout of Tiny ImageNet."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.labels import read_labels
from stages.core.errors import UserError
from tests.index.photographs import photograph, put, rejected, run

ROOT = "tiny-imagenet-200"
LIST = f"{ROOT}/val/val_annotations.txt"


@pytest.fixture
def tree() -> None:
    """Two categories of two train photographs, two of val and one of test."""
    for category in ("n01443537", "n01629819"):
        for number in range(2):
            put(f"{ROOT}/train/{category}/images/{category}_{number}.JPEG", photograph(4, 4))
        put(f"{ROOT}/train/{category}/{category}_boxes.txt", b"n01443537_0.JPEG\t0\t10\t63\t58\n")
    for number in range(2):
        put(f"{ROOT}/val/images/val_{number}.JPEG", photograph(4, 4))
    put(f"{ROOT}/test/images/test_0.JPEG", photograph(4, 4))
    put(LIST, b"val_0.JPEG\tn01629819\t0\t32\t44\t62\nval_1.JPEG\tn01443537\t52\t55\t57\t59\n")
    put(f"{ROOT}/wnids.txt", b"n01629819\nn01443537\n")


def test_categories_are_folders_in_train_and_a_list_in_val(tree: None) -> None:
    run("tiny_imagenet")
    index, labels = read_images(), read_labels()
    assert [len(index.in_splits(split)) for split in ("train", "validation", "test")] == [4, 2, 1]
    assert labels.classes == {1: "n01443537", 2: "n01629819"}
    named = {image_id.rpartition("/")[2]: labels.class_name(image_id) for image_id in index.image_ids}
    assert named == {
        "n01443537_0": "n01443537",
        "n01443537_1": "n01443537",
        "n01629819_0": "n01629819",
        "n01629819_1": "n01629819",
        "test_0": None,
        "val_0": "n01629819",
        "val_1": "n01443537",
    }
    assert rejected("images") == {}


def test_the_outer_folder_may_be_left_out(tree: None) -> None:
    for entry in Path("data", ROOT).iterdir():
        entry.rename(Path("data", entry.name))
    run("tiny_imagenet")
    assert len(read_images()) == 7


def test_a_photograph_of_no_known_category_is_listed(tree: None) -> None:
    put(f"{ROOT}/val/images/val_2.JPEG", photograph(4, 4))
    run("tiny_imagenet")
    assert rejected("images") == {f"{ROOT}/val/images/val_2.JPEG": "val_annotations.txt does not name it"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, rf"^data/{LIST}: the list of photographs cannot be read \(No such file"),
        (b"val_0.JPEG\n", rf"^data/{LIST}: no category beside val_0.JPEG; a line is"),
        (b"val_7.JPEG n01629819\n", rf"^data/{LIST}: names val_7.JPEG, but data/{ROOT}/val/images holds no such"),
    ],
)
def test_a_list_that_cannot_be_followed_ends_in_one_line(tree: None, content: bytes | None, message: str) -> None:
    Path("data", LIST).unlink() if content is None else put(LIST, content)
    with pytest.raises(UserError, match=message):
        run("tiny_imagenet")


def test_another_tree_is_told() -> None:
    put("images/a.jpg", photograph())
    with pytest.raises(UserError, match=r"^data/tiny-imagenet-200/train: no such folder, nor data/train; unpack"):
        run("tiny_imagenet")
