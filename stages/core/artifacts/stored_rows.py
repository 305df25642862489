"""Rows of an artifact's Parquet shards, one per photograph: in order, or by image id."""

import mmap
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from stages.core.artifacts.row_index import PNGS, ROWS, index_rows, map_row_index
from stages.core.artifacts.shards import explain_broken_parquet, open_table, read_manifest, shard_paths
from stages.core.errors import UserError

_CACHED_ROW_GROUPS = 8

Row = dict[str, Any]


class StoredRows:
    """Reader of shards that have a column `image_id`; processes share what it knows of them, which is in a file.

    Args:
        out: The artifact's directory.
        contract: Which it must hold.

    Raises:
        UserError: Missing, broken or of another version.
    """

    def __init__(self, out: Path, contract: str) -> None:
        manifest = read_manifest(out, contract)
        self.content_hash = str(manifest["content_hash"])
        self.out, self._contract = out, contract
        self._paths = shard_paths(out)
        for path in self._paths[:1]:
            with explain_broken_parquet(path), open_table(path, contract):
                pass
        self._is_indexed = ROWS in manifest["files"]
        self._files: dict[int, mmap.mmap] = {}
        self._groups: OrderedDict[tuple[int, int], list[Row]] = OrderedDict()

    def __reduce__(self) -> tuple[type["StoredRows"], tuple[Path, str]]:
        return StoredRows, (self.out, self._contract)  # What is mapped into memory is mapped again elsewhere.

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, image_id: str) -> bool:
        return self._find(image_id) is not None

    @property
    def image_ids(self) -> list[str]:
        """Ids in order."""
        ids: list[str] = self._ids.to_pylist()
        return ids

    def __getitem__(self, image_id: str) -> Row:
        number = self._find(image_id)
        if number is None:
            raise UserError(f"{self.out}: no map of {image_id}")
        where: dict[str, int] = {name: column[number].as_py() for name, column in self._columns.items()}
        if self._contract != "label_maps" or not where["map_png_bytes"]:
            return self._read_group(where["shard"], where["group"])[where["within"]]
        pngs = {name: self._cut(where, name) for name in PNGS if where[f"{name}_bytes"]}
        return {"image_id": image_id, "height": where["height"], "width": where["width"], **pngs}

    def __iter__(self) -> Iterator[Row]:
        for path in self._paths:
            with explain_broken_parquet(path), open_table(path, self._contract) as file:
                for batch in file.iter_batches(batch_size=32):
                    yield from batch.to_pylist()

    def path_of(self, image_id: str) -> Path:
        """The shard that holds a photograph's row."""
        number = self._find(image_id)
        return self.out if number is None else self._paths[self._columns["shard"][number].as_py()]

    @cached_property
    def _index(self) -> pa.Table:
        if self._is_indexed:
            with explain_broken_parquet(self.out / ROWS):
                return map_row_index(self.out / ROWS)
        for path in self._paths:
            with explain_broken_parquet(path), open_table(path, self._contract):
                pass
        return index_rows(self._paths)

    @cached_property
    def _columns(self) -> dict[str, pa.Array]:
        hidden = {"image_id", "sorted"}
        return {name: self._array(name) for name in self._index.column_names if name not in hidden}

    @cached_property
    def _ids(self) -> pa.Array:
        return self._array("image_id")

    @cached_property
    def _sorted(self) -> pa.Array:
        return self._array("sorted")

    def _array(self, name: str) -> pa.Array:
        column = self._index.column(name)  # One chunk, as it was written: nothing is copied.
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()

    def _find(self, image_id: str) -> int | None:
        """Position of a photograph's row among all."""

        def id_at(place: int) -> str:
            found: str = self._ids[self._sorted[place].as_py()].as_py()
            return found

        place = bisect_left(range(len(self)), image_id, key=id_at)
        if place == len(self) or id_at(place) != image_id:
            return None
        number: int = self._sorted[place].as_py()
        return number

    def _cut(self, where: dict[str, int], name: str) -> bytes:
        if where["shard"] not in self._files:
            with self._paths[where["shard"]].open("rb") as file:
                self._files[where["shard"]] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        first = where[f"{name}_at"]
        return self._files[where["shard"]][first : first + where[f"{name}_bytes"]]

    def _read_group(self, shard: int, group: int) -> list[Row]:
        rows = self._groups.pop((shard, group), None)
        if rows is None:
            with explain_broken_parquet(self._paths[shard]), open_table(self._paths[shard], self._contract) as file:
                rows = file.read_row_group(group).to_pylist()
        self._groups[shard, group] = rows
        if len(self._groups) > _CACHED_ROW_GROUPS:
            self._groups.popitem(last=False)
        return rows
