"""Label maps: any kind of map, in order or by id."""

import json
import pickle
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from stages.core.artifacts import stored_rows
from stages.core.artifacts.label_maps import LabelMap, open_label_maps, write_label_maps, write_shard
from stages.core.artifacts.row_index import ROWS, write_row_index
from stages.core.errors import UserError

OUT = Path("artifacts/predict")
RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def drawn(count: int) -> list[LabelMap]:
    return [
        LabelMap(f"{number:04d}", 40, 60, RANDOM.integers(0, 1000, (4, 6)).astype(np.uint16)) for number in range(count)
    ]


def test_maps_come_back_in_order_and_by_id_over_several_shards() -> None:
    maps = drawn(600)
    write_label_maps("predict", "cam", iter(maps))
    assert len(list(OUT.glob("part-*.parquet"))) == 3
    read = open_label_maps("predict")
    assert len(read) == 600
    assert read.image_ids == [one.image_id for one in maps]
    for got, wanted in zip(read, maps, strict=True):
        assert got[:3] == wanted[:3]
        np.testing.assert_array_equal(got.map, wanted.map)
    for number in RANDOM.integers(0, 600, 40):
        np.testing.assert_array_equal(read[f"{number:04d}"].map, maps[number].map)


@pytest.mark.parametrize("layout", [{"compression": "zstd"}, {"use_dictionary": True}, {"data_page_size": 64}, {}])
def test_shards_of_other_software_are_read_too(layout: dict[str, Any]) -> None:
    """With photographs in any order, and with or without the index of rows."""
    maps = [maps[number] for maps in [drawn(200)] for number in RANDOM.permutation(200)]
    write_label_maps("predict", "cam", maps)
    path = OUT / "part-00000.parquet"
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=50, **{"compression": "none", "use_dictionary": False, **layout})
    manifest = OUT / "manifest.json"
    for indexed in (False, True):
        if indexed:
            write_row_index(OUT)
        files = dict.fromkeys([path.name, ROWS] if indexed else [path.name], "")
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "files": files}))
        read = pickle.loads(pickle.dumps(open_label_maps("predict")))
        assert read.image_ids == [one.image_id for one in maps]
        for one in maps[::7]:
            assert read[one.image_id][:3] == one[:3]
            np.testing.assert_array_equal(read[one.image_id].map, one.map)
        assert "0200" not in read


def test_one_map_is_read_without_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = drawn(300)
    write_label_maps("predict", "cam", maps)
    read = open_label_maps("predict")
    monkeypatch.setattr(stored_rows, "open_table", None)
    np.testing.assert_array_equal(read["0270"].map, maps[270].map)


def test_a_damaged_map_is_named() -> None:
    write_label_maps("predict", "cam", drawn(300))
    shard = OUT / "part-00001.parquet"
    data = bytearray(shard.read_bytes())
    place = data.index(b"IDAT") + 8
    data[place] ^= 255
    shard.write_bytes(data)
    with pytest.raises(UserError, match=rf"^{shard}: broken .*dvc repro"):
        open_label_maps("predict")["0256"]


def test_the_maps_of_a_shard_are_let_go_as_they_are_written() -> None:
    made: list[weakref.ref[np.ndarray]] = []

    def draw() -> Iterator[LabelMap]:
        for number in range(6):
            assert sum(map_() is not None for map_ in made) <= 1
            pixels = np.full((4, 6), number, np.uint8)
            made.append(weakref.ref(pixels))
            yield LabelMap(f"{number}", 40, 60, pixels)
            del pixels

    OUT.mkdir(parents=True)
    write_shard(OUT / "part-00000.parquet", draw(), "predict", "cam")
    assert len(made) == 6


@pytest.mark.parametrize("kind", [np.bool_, np.uint8, np.uint16])
def test_the_kind_of_pixel_and_the_scores_are_kept(kind: type[np.generic]) -> None:
    pixels = RANDOM.integers(0, 2, (5, 7)).astype(kind)
    score = RANDOM.integers(0, 101, (5, 7)).astype(np.uint8)
    write_label_maps("predict", "cam", [LabelMap("a", 5, 7, pixels, score)])
    read = open_label_maps("predict")["a"]
    assert read.map.dtype == kind
    np.testing.assert_array_equal(read.map, pixels)
    np.testing.assert_array_equal(read.score, score)


def test_no_maps_at_all_is_legal() -> None:
    write_label_maps("predict", "none", [])
    read = open_label_maps("predict")
    assert len(read) == 0
    assert list(read) == []
    assert "a" not in read


def test_a_photograph_without_map_is_named() -> None:
    write_label_maps("predict", "cam", drawn(2))
    with pytest.raises(UserError, match=f"{OUT}: no map of 0009"):
        open_label_maps("predict")["0009"]


def test_equal_maps_are_equal_bytes() -> None:
    maps = drawn(3)
    hashes = set()
    for _ in range(2):
        write_label_maps("predict", "cam", maps)
        hashes.add(open_label_maps("predict").content_hash)
    assert len(hashes) == 1


def test_a_corrupt_shard_is_named() -> None:
    write_label_maps("predict", "cam", drawn(300))
    shard = OUT / "part-00001.parquet"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 255
    shard.write_bytes(data)
    with pytest.raises(UserError, match=f"{shard}: broken Parquet file"):
        list(open_label_maps("predict"))
