"""Maps from a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stages.core.artifacts.image_index import Photo, read_images, write_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.errors import UserError
from stages.core.hashing import hash_folder
from stages.core.png_files import encode_png
from stages.saliency.methods.external import ExternalConfig, MapsFolderConfig


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    photos = []
    for name in ("a.b", "c", "d"):
        write(f"data/train/{name}.png", np.zeros((20, 30, 3), np.uint8))
        size = Path(f"data/train/{name}.png").stat().st_size
        photos.append(Photo(f"train/{name}", "train", f"train/{name}.png", 20, 30, size, "0" * 64))
    write_images(photos, [], "folder")
    write("maps/train/a.b.png", ramp())
    write("maps/train/c.png", ramp())


def write(path, pixels):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(encode_png(pixels))


def ramp(height=20, width=30):
    return np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))


def pinned(**options):
    return ExternalConfig(maps=MapsFolderConfig(path="maps", sha256=hash_folder(Path("maps"))), **options)


def test_maps_are_copied_and_photographs_without_one_are_named(capsys):
    pinned().write_maps(read_images())
    maps = open_label_maps("saliency")
    assert maps.image_ids == ["train/a.b", "train/c"]
    np.testing.assert_array_equal(maps["train/a.b"].map, ramp())
    assert "train/d: no map" in capsys.readouterr().err


def test_maps_may_be_cut_into_masks():
    pinned(threshold=0.5, min_area=0.0).write_maps(read_images())
    np.testing.assert_array_equal(open_label_maps("saliency")["train/c"].map, np.where(ramp() > 127.5, 255, 0))


def test_an_id_that_leaves_no_room_for_a_suffix_has_no_map(capsys):
    names = ["train/c", f"train/{'x' * 252}"]
    write_images([Photo(name, "train", "train/c.png", 20, 30, 1, "0" * 64) for name in names], [], "folder")
    pinned().write_maps(read_images())
    assert open_label_maps("saliency").image_ids == ["train/c"]
    assert f"{names[1]}: no map" in capsys.readouterr().err


def test_a_changed_folder_is_refused_and_the_message_names_the_hash_to_write():
    method = pinned()
    write("maps/train/c.png", ramp()[:, ::-1])
    with pytest.raises(UserError, match=hash_folder(Path("maps"))):
        method.write_maps(read_images())


def test_the_hash_sees_content_and_names_but_not_where_the_folder_lies():
    before = hash_folder(Path("maps"))
    Path("maps").rename("moved")
    assert hash_folder(Path("moved")) == before
    Path("moved/train/c.png").rename("moved/train/e.png")
    assert hash_folder(Path("moved")) != before


def test_a_map_of_another_shape_is_left_out(capsys):
    write("maps/train/c.png", ramp(30, 20))
    pinned().write_maps(read_images())
    assert open_label_maps("saliency").image_ids == ["train/a.b"]
    assert "c.png: 20x30 is not the shape of its photograph (30x20)" in capsys.readouterr().err


def test_a_folder_without_any_map_is_an_error():
    write("other/x.png", ramp())
    method = ExternalConfig(maps=MapsFolderConfig(path="other", sha256=hash_folder(Path("other"))))
    with pytest.raises(UserError, match="no map of any photograph"):
        method.write_maps(read_images())
    with pytest.raises(UserError, match="no such folder"):
        ExternalConfig(maps=MapsFolderConfig(path="gone")).write_maps(read_images())
