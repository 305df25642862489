"""Files that all artifacts are made of: atomically written folders, manifests, Parquet shards with metadata."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core.artifacts.row_index import PNGS, write_row_index
from stages.core.data import ARTIFACTS as ARTIFACTS
from stages.core.errors import UserError
from stages.core.files import shorten_name
from stages.core.hashing import hash_files, hash_json

MANIFEST = "manifest.json"
CONTRACTS = {
    "image_index": 1,
    "labels": 1,
    "label_maps": 1,
    "class_maps": 1,
    "features": 2,
    "clusters": 2,
    "model": 1,
    "stability": 1,
    "members": 1,
}
"""Version of each contract; raised when the format of its files changes."""

_METADATA_KEY = b"luss"
_ROW_GROUP = 65_536
_MAP_ROW_GROUPS = {"map_png": 32, "maps_png": 8}
"""By the column that holds maps: reading one photograph reads its group."""
_ONE_PAGE = 1 << 30
"""Bytes; see `stages.core.artifacts.row_index`."""
_INDEXED = {"label_maps", "class_maps"}
_MIN_SHARD, _MAX_SHARD, _SHARDS = 64, 4096, 64


def contract_name(contract: str) -> str:
    """Name and version as they stand in an artifact, e.g. `features/1`."""
    return f"{contract}/{CONTRACTS[contract]}"


def shard_ranges(count: int, at_least: int = _MIN_SHARD) -> list[range]:
    """Divide `count` rows into shards, by the count alone: the number of workers changes no byte.

    Args:
        count: Rows.
        at_least: Rows of a shard; fewer where one takes minutes to compute, since a kill loses up to a shard.
    """
    size = min(max(-(-count // _SHARDS), at_least), _MAX_SHARD)
    return [range(start, min(start + size, count)) for start in range(0, count, size)]


@contextmanager
def atomic_out(out: Path, contract: str, stage: str, method: str) -> Iterator[Path]:
    """Assemble an artifact in `<out>.partial`, then put it in place of `out` in one rename.

    Writes the manifest, and the index of rows where they are read by photograph. What is left by a killed stage is
    never taken for a finished artifact.

    Args:
        out: The artifact's directory.
        contract: Key of `CONTRACTS`.
        stage: Stage that writes.
        method: Its method.
    """
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    yield partial
    if contract in _INDEXED:
        write_row_index(partial)
    _write_manifest(partial, {"contract": contract_name(contract), "stage": stage, "method": method})
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees either the old content or all of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(shorten_name(path.name, ".partial"))
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        partial.unlink(missing_ok=True)
        error.filename = error.filename or str(path)
        raise
    partial.replace(path)


def write_table(path: Path, table: pa.Table, metadata: dict[str, Any]) -> None:
    """Write a Parquet file whose schema metadata carries `metadata` as JSON under the key `luss`."""
    described = table.replace_schema_metadata({_METADATA_KEY: json.dumps(metadata, sort_keys=True).encode()})
    buffer = pa.BufferOutputStream()
    rows = min([_MAP_ROW_GROUPS[name] for name in table.column_names if name in _MAP_ROW_GROUPS], default=_ROW_GROUP)
    pngs = [name for name in table.column_names if name in PNGS]
    others = [name for name in table.column_names if name not in PNGS]
    pq.write_table(
        described,
        buffer,
        row_group_size=rows,
        compression={**dict.fromkeys(others, "zstd"), **dict.fromkeys(pngs, "none")},
        use_dictionary=others,
        write_statistics=others,
        data_page_size=_ONE_PAGE if pngs else None,
        write_page_checksum=True,
    )
    write_atomically(path, buffer.getvalue().to_pybytes())


def read_table(path: Path, contract: str) -> pa.Table:
    """Read a Parquet file after checking that it is of a contract's current version.

    Raises:
        UserError: Missing, broken, or of another contract or version.
    """
    with explain_broken_parquet(path), open_table(path, contract) as file:
        return file.read()


@contextmanager
def explain_broken_parquet(path: Path) -> Iterator[None]:
    """Turn the exceptions of a damaged Parquet file into a `UserError` that names it."""
    try:
        yield
    except FileNotFoundError:
        raise _missing(path) from None
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{path}: broken Parquet file ({error}); delete {path.parent} and run `dvc repro`") from None


def open_table(path: Path, contract: str) -> pq.ParquetFile:
    """Open a Parquet file for reading in parts; see `read_table`."""
    with explain_broken_parquet(path):
        file = pq.ParquetFile(path, page_checksum_verification=True)
    _check_contract(path, json.loads((file.schema_arrow.metadata or {}).get(_METADATA_KEY, b"{}")), contract)
    return file


def read_table_metadata(path: Path, contract: str) -> dict[str, Any]:
    """The JSON under the key `luss` of a Parquet file."""
    with open_table(path, contract) as file:
        metadata: dict[str, Any] = json.loads(file.schema_arrow.metadata[_METADATA_KEY])
    return metadata


def read_manifest(out: Path, contract: str) -> dict[str, Any]:
    """The manifest of an artifact: contract, stage, method, files and content hash.

    Raises:
        UserError: The artifact is missing or of another contract or version.
    """
    manifest = read_json(out / MANIFEST)
    _check_contract(out, manifest, contract)
    return manifest


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object that a stage wrote.

    Raises:
        UserError: Missing or broken.
    """
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise _missing(path) from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error}); delete {path.parent} and run `dvc repro`") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: must hold a JSON object")
    return content


def shard_paths(out: Path) -> list[Path]:
    """The Parquet shards that an artifact's manifest lists, in order.

    Raises:
        UserError: One is gone.
    """
    paths = [out / name for name in sorted(read_json(out / MANIFEST)["files"]) if name.startswith("part-")]
    if gone := [path for path in paths if not path.is_file()]:
        raise _missing(gone[0])
    return paths


def encode_json(content: dict[str, Any]) -> bytes:
    """JSON for people and for byte comparison: indented, fixed order, newline at the end."""
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _missing(path: Path) -> UserError:
    return UserError(f"{path}: no such file; run the stage that writes it (`dvc repro {path.parent.name}`)")


def _write_manifest(partial: Path, head: dict[str, Any]) -> None:
    files = hash_files(sorted(path for path in partial.iterdir() if path.is_file()))
    write_atomically(partial / MANIFEST, encode_json({**head, "content_hash": hash_json(files), "files": files}))


def _check_contract(path: Path, metadata: dict[str, Any], contract: str) -> None:
    got, wanted = metadata.get("contract"), contract_name(contract)
    if got != wanted:
        raise UserError(
            f"{path}: holds {got or 'no luss artifact'}, this version reads {wanted}; "
            "run the stage that writes it again (`dvc repro -f -s STAGE`)"
        )
