"""Photographs that stay where they are: `index` and the readers of photographs give what they give of copies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flows.workspace.linked_data import link_data, unlink_data
from stages.core.artifacts.image_index import ChangedPhotograph, read_images
from stages.core.artifacts.labels import read_labels
from stages.core.config.splits import list_categories
from stages.core.data_link import LINK, ROOT_VARIABLE
from stages.core.errors import UserError
from stages.core.hashing import hash_folder
from tests.index.photographs import mask, photograph, put, run


@pytest.fixture(autouse=True)
def _no_other_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)


def put_folder() -> None:
    put("a.jpg", photograph())
    put("b/c.png", photograph(5, 3, "PNG"))
    put("b/broken.jpg", b"no photograph")


def put_imagenet_s() -> None:
    for split, name in (("train", "one"), ("train", "two"), ("validation", "one")):
        put(f"{split}/{name}/x.jpg", photograph())
    put("validation-segmentation/one/x.png", mask(1, 1000))
    put("validation-segmentation/one/y.png", mask(2))


def put_scenes() -> None:
    put("images/train/a.jpg", photograph())
    put("images/val/b.jpg", photograph())
    put("annotations/val/b.png", mask(0, 1))
    put("classes.txt", b"sky\nsea\n")


LAYOUTS: dict[str, Callable[[], None]] = {"folder": put_folder, "imagenet_s": put_imagenet_s, "scenes": put_scenes}


def move_and_link() -> Path:
    """Move `data/` to another place, as files of another time, half of them behind links, and link it there."""
    root = Path("elsewhere").absolute()
    shutil.move("data", root)
    for number, path in enumerate(sorted(path for path in root.rglob("*") if path.is_file())):
        os.utime(path, (number, number))
        if number % 2:
            behind = Path("behind") / str(number)
            behind.parent.mkdir(exist_ok=True)
            shutil.move(path, behind)
            path.symlink_to(behind.absolute())
    link_data(root)
    assert os.listdir("data") == [LINK.name]
    return root


@pytest.mark.parametrize("method", LAYOUTS)
def test_linked_and_copied_photographs_give_equal_bytes(method: str) -> None:
    LAYOUTS[method]()
    run(method)
    copied, pixels = hash_folder(Path("artifacts")), read_images().read(0)
    masks = {each: read_labels().read_mask(each) for each in read_images().image_ids if read_labels().mask_path(each)}
    shutil.rmtree("artifacts")
    root = move_and_link()
    run(method)
    assert hash_folder(Path("artifacts")) == copied
    np.testing.assert_array_equal(read_images().read(0), pixels)
    for image_id, ids in masks.items():
        np.testing.assert_array_equal(read_labels().read_mask(image_id), ids)
    if method == "imagenet_s":
        assert list_categories() == ["one", "two"]
    unlink_data()
    assert not Path("data").exists()
    assert sorted(root.rglob("*"))


def test_another_root_on_another_machine_changes_no_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    put_imagenet_s()
    root = move_and_link()
    run("imagenet_s")
    first, link = hash_folder(Path("artifacts")), LINK.read_bytes()
    there = root.rename("there")
    monkeypatch.setenv(ROOT_VARIABLE, str(there.absolute()))
    for path in there.rglob("*"):
        os.utime(path, (9, 9))
    run("imagenet_s")
    assert (hash_folder(Path("artifacts")), LINK.read_bytes()) == (first, link)
    assert read_images().read(0).shape == (4, 6, 3)


def test_changed_files_are_refused_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    put_folder()
    root = move_and_link()
    run("folder")
    os.utime(root / "a.jpg", (5, 5))
    with pytest.raises(UserError, match=rf"^{root}: files were written since .*`luss data link {root}`$"):
        run("folder")
    (root / "new.jpg").write_bytes(photograph())
    with pytest.raises(UserError, match=rf"^{root}: other files than {LINK} says \(3 files of \d+ bytes, now 4 of"):
        run("folder")
    link_data(root)
    run("folder")
    assert len(read_images()) == 3
    monkeypatch.setenv(ROOT_VARIABLE, str(root.rename("copy").absolute()))
    Path("copy/new.jpg").unlink()
    with pytest.raises(UserError, match=rf"make the copy that {ROOT_VARIABLE} names equal to that of {root}"):
        run("folder")


def test_a_photograph_of_another_size_or_gone_is_refused() -> None:
    put_folder()
    root = move_and_link()
    run("folder")
    (root / "a.jpg").write_bytes(b"short")
    with pytest.raises(
        ChangedPhotograph, match=rf"^{root}/a.jpg: .* bytes then, 5 now\); .*`luss data link {root}`, then"
    ):
        read_images().read(0)
    root.rename("gone")
    with pytest.raises(ChangedPhotograph, match=r"no file now\); data/photographs.link: linked to .* \(No such file"):
        read_images().read(0)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda root: root.rename("gone"), r"^data/photographs.link: linked to .*cannot be read \(No such file.*mount"),
        (lambda root: put("train/x.jpg", photograph()), r"^data/train: lies beside .* move it away, or end the link"),
        (
            lambda root: LINK.write_bytes(b"{}"),
            r"^data/photographs.link: broken; delete it, then `luss data link PATH`",
        ),
        (lambda root: os.environ.update({ROOT_VARIABLE: "copy"}), r"^LUSS_DATA_ROOT=copy: must be an absolute path$"),
        (lambda root: os.environ.update({ROOT_VARIABLE: "/no/where"}), r"^LUSS_DATA_ROOT=/no/where, which cannot be"),
    ],
    ids=["gone", "beside", "broken", "relative root", "root gone"],
)
def test_a_link_that_leads_nowhere_is_told_in_one_line(
    spoil: Callable[[Path], object], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_folder()
    root = move_and_link()
    monkeypatch.setenv(ROOT_VARIABLE, "")
    spoil(root)
    with pytest.raises(UserError, match=said) as caught:
        run("folder")
    assert "\n" not in str(caught.value)
