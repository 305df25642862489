"""Hashes against `sha256sum`, the program."""

import os
import subprocess
from pathlib import Path

from stages.core.hashing import hash_bytes, hash_file, hash_files, hash_folder, hash_json


def by_program(data: bytes) -> str:
    return subprocess.run(["sha256sum"], input=data, capture_output=True, check=True).stdout.split()[0].decode()


def test_equal_content_has_the_hash_of_the_program(tmp_path: Path) -> None:
    data = bytes(range(256)) * 300
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(data)
    (tmp_path / "a").write_bytes(b"")
    known, empty = by_program(data), by_program(b"")
    assert hash_bytes(data) == hash_file(tmp_path / "deep" / "file") == known
    assert hash_files([tmp_path / "a", tmp_path / "deep" / "file"]) == {"a": empty, "file": known}
    assert hash_folder(tmp_path) == by_program(f"a\0{empty}\ndeep/file\0{known}\n".encode())


def test_names_may_be_any_bytes(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    assert hash_folder(tmp_path) == by_program(b"caf\xe9\0" + by_program(b"").encode() + b"\n")


def test_the_order_of_keys_does_not_count() -> None:
    assert hash_json({"b": [1, 2.5], "a": None}) == by_program(b'{"a": null, "b": [1, 2.5]}')
