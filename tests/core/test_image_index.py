"""The image index and the labels: written, read back, and kept apart."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.core.artifacts.image_index import IMAGES, ImageIndex, Photo, read_images, write_images
from stages.core.artifacts.labels import LABELS, Label, read_labels, write_labels
from stages.core.data import Rejected
from stages.core.errors import UserError


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def photo(image_id: str, split: str = "train", size: int = 5) -> Photo:
    return Photo(image_id, split, f"{image_id}.png", 4, 6, size, "0" * 64)


def written(*photos: Photo) -> ImageIndex:
    write_images(photos, [], "folder")
    return read_images()


def test_photographs_come_back_in_the_order_of_their_ids() -> None:
    photos = [photo("c", "test"), photo("a"), photo("b", "validation"), photo("a-b")]
    index = written(*photos)
    assert index.image_ids == ["a", "a-b", "b", "c"]
    assert [index[i] for i in range(len(index))] == sorted(photos)
    assert index[-1] == photos[0]
    with pytest.raises(IndexError):
        index[4]


def test_the_order_given_leaves_no_trace() -> None:
    first = written(photo("a"), photo("b")).content_hash
    assert written(photo("b"), photo("a")).content_hash == first
    assert written(photo("b")).content_hash != first


def test_splits_are_chosen_and_an_empty_one_is_named() -> None:
    index = written(photo("a"), photo("b", "validation"), photo("c"))
    assert index.in_splits("train").image_ids == ["a", "c"]
    assert index.in_splits("validation", "train").image_ids == ["a", "b", "c"]
    assert index.in_splits("train").content_hash == index.content_hash
    assert index.has("validation")
    assert not index.has("test")
    with pytest.raises(UserError, match="no photograph in split test; there are: train, validation"):
        index.in_splits("test")


def test_a_draw_has_no_regard_for_the_order_that_follows_folders() -> None:
    photos = [photo(f"train/{name}/{number}") for name in "abc" for number in range(3)]
    write_images(photos, [], "imagenet_s")
    index = read_images()
    assert index.draw(99).image_ids == index.image_ids
    assert index.draw(0).image_ids == []
    drawn = [index.draw(3, seed).image_ids for seed in range(400)]
    assert all(ids == sorted(set(ids)) and len(ids) == 3 for ids in drawn)
    assert index.draw(3, 7).image_ids == drawn[7]
    # One of each folder in 27 of the 84 draws of three out of nine.
    each = np.mean([len({image_id.split("/")[1] for image_id in ids}) == 3 for ids in drawn])
    assert abs(each - 27 / 84) < 0.07


def test_a_part_holds_its_rows_and_no_more() -> None:
    index = written(*(photo(f"{number:05d}") for number in range(5000)))
    part = index.take_rows(range(100, 103))
    assert part.image_ids == ["00100", "00101", "00102"]
    assert len(pickle.dumps(part)) < len(pickle.dumps(index)) / 50


def test_a_photograph_is_read_and_a_changed_one_refused() -> None:
    Path("data").mkdir()
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    Image.fromarray(pixels).save("data/a.png")
    index = written(photo("a", size=Path("data/a.png").stat().st_size), photo("gone"))
    np.testing.assert_array_equal(index.read(0), pixels)
    Image.fromarray(pixels[:3]).save("data/a.png")
    for row, name in enumerate(["a", "gone"]):
        with pytest.raises(UserError, match=f"data/{name}.png: changed or gone since it was indexed"):
            index.read(row)


def test_rejected_files_are_listed_in_order() -> None:
    write_images([photo("a")], [Rejected("b,c.png", 'not "an" image'), Rejected("a.png", "empty file")], "folder")
    assert (IMAGES / "rejected.csv").read_text() == 'path,reason\na.png,empty file\n"b,c.png","not ""an"" image"\n'


def test_labels_come_back() -> None:
    labels = [Label("b", None, None, "dog"), Label("a", "a.png", "0" * 64, "cat")]
    write_labels(labels, {2: "dog", 1: "cat", 10: "wolf"}, [], "imagenet_s")
    read = read_labels()
    assert (read.mask_path("a"), read.class_name("a")) == ("a.png", "cat")
    assert (read.mask_path("b"), read.class_name("b")) == (None, "dog")
    assert (read.mask_path("c"), read.class_name("c")) == (None, None)
    assert list(read.classes.items()) == [(1, "cat"), (2, "dog"), (10, "wolf")]


def test_a_set_without_labels_is_legal() -> None:
    write_labels([], {}, [], "folder")
    labels = read_labels()
    assert labels.classes == {}
    assert labels.mask_path("a") is None


def test_a_missing_index_says_what_to_run() -> None:
    for read, out in [(read_images, IMAGES), (read_labels, LABELS)]:
        with pytest.raises(UserError, match=f"{out}.*no such file; run the stage that writes it"):
            read()
