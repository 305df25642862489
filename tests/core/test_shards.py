"""What all artifacts share: whole or not at all, described, refused when broken."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stages.core.artifacts.shards import (
    atomic_out,
    encode_json,
    open_table,
    read_json,
    read_manifest,
    read_table,
    read_table_metadata,
    shard_ranges,
    write_atomically,
    write_table,
)
from stages.core.errors import UserError
from stages.core.hashing import hash_files

HEAD = {"contract": "features/2", "stage": "extract", "method": "image"}
TABLE = pa.table({"number": pa.array(range(100_000), pa.int32())})


@given(st.integers(0, 3_000_000))
def test_shards_cover_all_rows_in_order(count: int) -> None:
    shards = shard_ranges(count)
    edges = [0, *(shard.stop for shard in shards)]
    assert [shard.start for shard in shards] == edges[:-1]
    assert edges[-1] == count
    assert all(0 < len(shard) <= 4096 for shard in shards)


def test_an_out_appears_whole_with_its_manifest(tmp_path: Path) -> None:
    out = tmp_path / "artifacts" / "extract"
    with atomic_out(out, "features", "extract", "image") as partial:
        write_atomically(partial / "a.txt", b"abc")
        assert not out.exists()
    assert sorted(path.name for path in out.iterdir()) == ["a.txt", "manifest.json"]
    manifest = read_manifest(out, "features")
    assert manifest["files"] == {"a.txt": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}
    assert [path.name for path in out.parent.iterdir()] == ["extract"]


def test_a_failure_leaves_the_old_out_and_the_next_run_clears_up(tmp_path: Path) -> None:
    out = tmp_path / "extract"
    for content in (b"old", b"new"):
        with pytest.raises(TypeError), atomic_out(out, "features", "extract", "image") as partial:
            (partial / "left_over").write_bytes("no bytes")
        with atomic_out(out, "features", "extract", "image") as partial:
            write_atomically(partial / "a.txt", content)
        assert sorted(path.name for path in out.iterdir()) == ["a.txt", "manifest.json"]
        assert (out / "a.txt").read_bytes() == content


def test_the_content_hash_follows_the_content(tmp_path: Path) -> None:
    hashes = []
    for content in (b"one", b"two", b"one"):
        with atomic_out(tmp_path / "out", "features", "extract", "image") as partial:
            write_atomically(partial / "a.txt", content)
        hashes.append(read_manifest(tmp_path / "out", "features")["content_hash"])
    assert hashes[0] == hashes[2] != hashes[1]


def test_a_table_comes_back_with_its_description(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, TABLE, HEAD)
    assert read_table(path, "features").equals(TABLE)
    assert read_table_metadata(path, "features") == HEAD
    digest = hash_files([path])
    write_table(path, TABLE, dict(reversed(HEAD.items())))
    assert hash_files([path]) == digest


def test_another_contract_or_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_table(path, TABLE, HEAD)
    with pytest.raises(UserError, match=r"a\.parquet: holds features/2, this version reads clusters/2; run the stage"):
        read_table(path, "clusters")
    write_table(path, TABLE, {**HEAD, "contract": "features/0"})
    with pytest.raises(UserError, match="holds features/0, this version reads features/2"):
        open_table(path, "features")
    write_table(path, TABLE, {})
    with pytest.raises(UserError, match="holds no luss artifact"):
        read_table(path, "features")


@pytest.mark.parametrize("damage", ["flipped", "truncated", "empty", "missing"])
def test_a_broken_table_is_refused(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "extract" / "a.parquet"
    write_table(path, TABLE, HEAD)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    damaged = {"flipped": bytes(data), "truncated": bytes(data[:-100]), "empty": b""}
    path.unlink()
    if damage in damaged:
        path.write_bytes(damaged[damage])
    with pytest.raises(UserError, match=f"^{path}: .*dvc repro"):
        read_table(path, "features")


def test_broken_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    for content, reason in [(b"{", "not valid JSON"), (b"[]", "must hold a JSON object")]:
        path.write_bytes(content)
        with pytest.raises(UserError, match=reason):
            read_json(path)
    path.write_bytes(encode_json({"b": 1, "a": "ä"}))
    assert json.loads(path.read_text()) == {"b": 1, "a": "ä"}
    with pytest.raises(UserError, match="no such file"):
        read_json(tmp_path / "gone.json")
