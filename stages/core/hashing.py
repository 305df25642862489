"""SHA-256 of files, folders and values, in hexadecimal; all content hashes of the project are made here."""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def hash_bytes(data: bytes) -> str:
    """Hash of bytes in memory."""
    return hashlib.sha256(data).hexdigest()


def hash_json(content: Any) -> str:
    """Hash of a value that JSON can hold; the order of keys does not count."""
    return hash_bytes(json.dumps(content, sort_keys=True).encode())


def hash_file(path: Path) -> str:
    """Hash of a file's content."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def hash_files(paths: Iterable[Path]) -> dict[str, str]:
    """Hash of each file by its name."""
    return {path.name: hash_file(path) for path in paths}


def hash_folder(folder: Path) -> str:
    """Hash over the sorted relative paths and the hashes of all files in a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{path.relative_to(folder).as_posix()}\0{hash_file(path)}\n" for path in files]
    return hash_bytes(os.fsencode("".join(lines)))  # Whatever bytes the names consist of.
