"""The layout of scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.labels import read_labels
from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from tests.index.photographs import encode, photograph, put, rejected, run


def annotation(*rows: tuple[int, ...]) -> bytes:
    return encode(Image.fromarray(np.array(rows, np.uint8)), "PNG")


def put_scene(split: str, name: str, *rows: tuple[int, ...]) -> None:
    put(f"images/{split}/{name}.jpg", photograph(len(rows[0]), len(rows)))
    put(f"annotations/{split}/{name}.png", annotation(*rows))


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
    assert reasons["annotations/train/a.png"] == "id 5, 9, which is neither a class, background nor void"
    assert reasons["annotations/train/b.png"].startswith("2x1 pixels, but the photograph has 3x1")
    assert reasons["annotations/train/gone.png"] == "no photograph images/train/gone.*"


def test_names_may_end_differently_and_other_files_are_left_alone() -> None:
    put("images/train/ulm/x_leftImg8bit.png", photograph(3, 1, "PNG"))
    put("annotations/train/ulm/x_gtFine_labelIds.png", annotation((7, 7, 0)))
    put("annotations/train/ulm/x_gtFine_color.png", b"broken")
    put("annotations/train/ulm/x_gtFine_polygons.json", b"{}")
    run("scenes", classes={"road": [7]}, void=[0], image_ending="_leftImg8bit", annotation_ending="_gtFine_labelIds")
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
