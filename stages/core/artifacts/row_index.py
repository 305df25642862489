"""Where each photograph's row lies in an artifact's Parquet shards: a file that all processes map into memory.

Shards of PNGs are written such that a PNG's bytes stand in the file as they are, one behind the other, each behind its
length (Parquet's PLAIN encoding, no compression, one page). So a map is found without reading others. Where other
software wrote the shards in another way, the index says the row group.
"""

import mmap
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROWS = "rows.arrow"
PNGS = ("map_png", "score_png")
"""Columns whose PNGs are found by their place in the file."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST_HEAD = 4096
_PLAIN = ("image_id", "height", "width")


def index_rows(shards: Sequence[Path]) -> pa.Table:
    """The index of shards in their order.

    One row for each of theirs: `image_id`, `height`, `width`, the number of the shard, of the `group` in it and of the
    row `within` that, for every column of `PNGS` its first byte in the file and how many there are (0 where it is
    unknown or none), and `sorted`: the position of the id that is next in alphabetical order.

    Args:
        shards: Parquet files.
    """
    parts = [part for number, path in enumerate(shards) for part in _index_shard(number, path)]
    table = pa.concat_tables(parts).combine_chunks() if parts else _empty()
    ids = table.column("image_id").combine_chunks()
    return table.append_column("sorted", pc.array_sort_indices(ids).cast(pa.int32()))


def write_row_index(out: Path) -> None:
    """Write the index of the shards in a folder beside them."""
    table = index_rows(sorted(out.glob("part-*.parquet")))
    with pa.OSFile(str(out / ROWS), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max(len(table), 1))


def map_row_index(path: Path) -> pa.Table:
    """The index in a file, mapped into memory: the system keeps one copy for all processes."""
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def _empty() -> pa.Table:
    places = {f"{name}_{what}": pa.int64() for name in PNGS for what in ("at", "bytes")}
    numbers = {name: pa.int32() for name in ("height", "width", "shard", "group", "within")}
    return pa.schema({"image_id": pa.string(), **numbers, **places}).empty_table()


def _index_shard(number: int, path: Path) -> Iterator[pa.Table]:
    with pq.ParquetFile(path) as file, path.open("rb") as raw:
        if not file.metadata.num_rows:
            return
        names, groups = file.schema_arrow.names, range(file.num_row_groups)
        counts = [file.metadata.row_group(group).num_rows for group in groups]
        within = [np.arange(count) for count in counts]
        columns: dict[str, Any] = {
            "shard": np.full(sum(counts), number),
            "group": np.repeat(np.arange(len(counts)), counts),
            "within": np.concatenate(within),
        }
        with mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for name in PNGS:
                found = [_find_pngs(data, file.metadata.row_group(group), name) for group in groups]
                columns[f"{name}_at"], columns[f"{name}_bytes"] = np.concatenate(found, 1)
        plain = file.read([name for name in _PLAIN if name in names])
        yield pa.table({**{name: plain.column(name) for name in _PLAIN}, **columns}).cast(_empty().schema)


def _find_pngs(data: mmap.mmap, group: Any, name: str) -> npt.NDArray[np.int64]:
    """First byte and number of bytes (2, N) of each PNG in a row group's column; zeros if it is laid out otherwise."""
    unknown = np.zeros((2, group.num_rows), np.int64)
    column = next((one for one in map(group.column, range(group.num_columns)) if one.path_in_schema == name), None)
    if column is None or column.compression != "UNCOMPRESSED":
        return unknown
    start = column.data_page_offset
    end = start + column.total_compressed_size
    at = data.find(_SIGNATURE, start, min(start + _LONGEST_HEAD, end)) - 4
    found = []
    while start <= at < end:
        size: int = struct.unpack_from("<I", data, at)[0]
        if data[at + 4 : at + 4 + len(_SIGNATURE)] != _SIGNATURE:
            return unknown
        found.append((at + 4, size))
        at += 4 + size
    return np.array(found, np.int64).T if at == end and len(found) == group.num_rows else unknown
