"""The layout of scenes, and the merges that the data set recipes declare."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from flows.recipes.composing import RECIPES
from stages.core.artifacts.image_index import read_images, read_labels
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from stages.index.methods.scenes import ScenesConfig
from tests.index.photographs import encode, photograph, put, rejected, run


def annotation(*rows: tuple[int, ...]) -> bytes:
    return encode(Image.fromarray(np.array(rows, np.uint8)), "PNG")


def put_scene(split: str, name: str, *rows: tuple[int, ...]) -> None:
    put(f"images/{split}/{name}.jpg", photograph(len(rows[0]), len(rows)))
    put(f"annotations/{split}/{name}.png", annotation(*rows))


def declared(dataset: str) -> ScenesConfig:
    return ScenesConfig.model_validate(yaml.safe_load((RECIPES / f"datasets/{dataset}.yaml").read_text())["index"])


def class_of(dataset: str, stored: int) -> str:
    return next(name for name, ids in (declared(dataset).classes or {}).items() if stored in ids)


def test_photographs_annotations_and_names_are_found() -> None:
    put_scene("train", "a", (0, 1, 2), (255, 2, 0))
    put_scene("val", "town/b", (1, 1, 1))
    put("images/test/c.jpg", photograph())
    put("classes.txt", b"sky\nroad\ncar\n")
    run("scenes")
    index, labels = read_images(), read_labels()
    assert index.image_ids == ["images/test/c", "images/train/a", "images/val/town/b"]
    assert [index[place].split for place in range(3)] == ["test", "train", "validation"]
    assert labels.classes == {1: "sky", 2: "road", 3: "car"}
    np.testing.assert_array_equal(labels.read_mask("images/train/a"), [[1, 2, 3], [IGNORE_ID, 3, 1]])
    assert labels.mask_path("images/test/c") is None
    assert labels.class_name("images/train/a") is None
    with pytest.raises(UserError, match="images/test/c has no mask"):
        labels.read_mask("images/test/c")


def test_declared_classes_merge_ids_in_their_order() -> None:
    put_scene("train", "a", (7, 8, 9), (3, 9, 7))
    run("scenes", classes={"ground": [8, 9], "sky": [7]}, void=[3])
    labels = read_labels()
    assert labels.classes == {1: "ground", 2: "sky"}
    np.testing.assert_array_equal(labels.read_mask("images/train/a"), [[2, 1, 1], [IGNORE_ID, 1, 2]])


def test_an_annotation_with_an_unknown_id_or_another_size_is_rejected_and_its_photograph_kept() -> None:
    put_scene("train", "a", (0, 5, 9))
    put_scene("train", "b", (0, 0, 0))
    put("annotations/train/b.png", annotation((0, 0)))
    put("annotations/train/gone.png", annotation((0, 0)))
    put("classes.txt", b"sky\n")
    run("scenes")
    assert read_images().image_ids == ["images/train/a", "images/train/b"]
    reasons = rejected("labels")
    assert reasons["annotations/train/a.png"] == "id 5, 9, which is neither a class nor void"
    assert reasons["annotations/train/b.png"].startswith("2x1 pixels, but the photograph has 3x1")
    assert reasons["annotations/train/gone.png"] == "no photograph images/train/gone.*"


def test_names_may_end_differently_and_other_files_are_left_alone() -> None:
    put("images/train/ulm/x_leftImg8bit.png", photograph(3, 1, "PNG"))
    put("annotations/train/ulm/x_gtFine_labelIds.png", annotation((7, 7, 0)))
    put("annotations/train/ulm/x_gtFine_color.png", b"broken")
    put("annotations/train/ulm/x_gtFine_polygons.json", b"{}")
    run("scenes", **declared("cityscapes27").model_dump(exclude={"method"}))
    labels = read_labels()
    np.testing.assert_array_equal(labels.read_mask("images/train/ulm/x_leftImg8bit"), [[1, 1, IGNORE_ID]])
    assert rejected("labels") == {}


def test_what_is_missing_is_named() -> None:
    put("train/cat/a.jpg", photograph())
    with pytest.raises(UserError, match=r"data/images/train: no such folder\. Photographs are looked for in"):
        run("scenes")
    put_scene("train", "a", (0, 1, 2))
    with pytest.raises(UserError, match=r"data/classes\.txt: no such file; write one name per line"):
        run("scenes")
    put("classes.txt", b"sky\nsky\n")
    with pytest.raises(UserError, match=r"data/classes\.txt: wants one name per line, each once"):
        run("scenes")
    Path("data/annotations/train/a.png").unlink()
    run("scenes")
    assert read_labels().classes == {}


def test_a_mark_at_the_beginning_is_no_part_of_a_name_and_other_encodings_are_refused() -> None:
    put_scene("train", "a", (0, 1, 2))
    put("classes.txt", "sky\nroad\ncafé\n".encode("utf-8-sig"))
    run("scenes")
    assert read_labels().classes == {1: "sky", 2: "road", 3: "café"}
    for encoding in ("utf-16", "utf-16-le", "latin-1"):
        put("classes.txt", "sky\nroad\ncafé\n".encode(encoding))
        with pytest.raises(UserError, match=r"^data/classes\.txt: not a text in UTF-8; save it as UTF-8$"):
            run("scenes")


def test_an_id_stands_once() -> None:
    with pytest.raises(UserError, match="id 4 stands twice"):
        run("scenes", classes={"a": [1, 4], "b": [4]}, void=[255])
    with pytest.raises(UserError, match="id 255 stands twice"):
        run("scenes", classes={"a": [1, 255]})


def test_cityscapes_are_the_27_ids_from_7_on() -> None:
    """By hand from the data set's list of labels."""
    config = declared("cityscapes27")
    assert list((config.classes or {}).values()) == [(number,) for number in range(7, 34)]
    named = {7: "road", 11: "building", 17: "pole", 20: "traffic_sign", 23: "sky", 24: "person", 33: "bicycle"}
    assert {stored: class_of("cityscapes27", stored) for stored in named} == named
    assert set(config.void) == {0, 1, 2, 3, 4, 5, 6, 255}


def test_coco_stuff_merges_every_label_into_its_own_group() -> None:
    """By hand from the data set's list of labels, one from the beginning, the end or an odd place of each group."""
    classes = declared("coco_stuff27").classes or {}
    assert sorted(stored for ids in classes.values() for stored in ids) == list(range(182))
    assert len(classes) == 27
    labels = {
        "person": (0, "person"),
        "truck": (7, "vehicle"),
        "bench": (14, "outdoor"),
        "giraffe": (24, "animal"),
        "suitcase": (32, "accessory"),
        "tennis racket": (42, "sports"),
        "bowl": (50, "kitchen"),
        "banana": (51, "food"),
        "toilet": (69, "furniture"),
        "cell phone": (76, "electronic"),
        "refrigerator": (81, "appliance"),
        "book": (83, "indoor"),
        "banner": (91, "textile"),
        "branch": (93, "plant"),
        "bridge": (94, "building"),
        "cabinet": (97, "furniture-stuff"),
        "cage": (98, "structural"),
        "cardboard": (99, "raw-material"),
        "carpet": (100, "floor"),
        "ceiling-tile": (102, "ceiling"),
        "clouds": (105, "sky"),
        "fog": (119, "water"),
        "fruit": (121, "food-stuff"),
        "hill": (126, "solid"),
        "snow": (158, "ground"),
        "wall-brick": (170, "wall"),
        "window-blind": (179, "window"),
        "wood": (181, "solid"),
    }
    assert {label: class_of("coco_stuff27", stored) for label, (stored, _) in labels.items()} == {
        label: group for label, (_, group) in labels.items()
    }
