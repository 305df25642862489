"""Rows of an artifact's Parquet shards, one per photograph: in order, or by image id."""

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stages.core.artifacts.shards import explain_broken_parquet, open_table, read_manifest, shard_paths
from stages.core.errors import UserError

_CACHED_ROW_GROUPS = 8

Row = dict[str, Any]


class StoredRows:
    """Reader of shards that have a column `image_id`; a process with a copy of it reads by itself.

    Args:
        out: The artifact's directory.
        contract: Which it must hold.

    Raises:
        UserError: Missing, broken or of another version.
    """

    def __init__(self, out: Path, contract: str) -> None:
        self.content_hash = str(read_manifest(out, contract)["content_hash"])
        self.out, self._contract = out, contract
        self._paths = shard_paths(out)
        self._where: dict[str, tuple[int, int, int]] = {}
        for shard, path in enumerate(self._paths):
            with explain_broken_parquet(path), open_table(path, contract) as file:
                for group in range(file.num_row_groups):
                    ids = file.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                    self._where.update({image_id: (shard, group, row) for row, image_id in enumerate(ids)})
        self._groups: OrderedDict[tuple[int, int], list[Row]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._where

    @property
    def image_ids(self) -> list[str]:
        """Ids in order."""
        return list(self._where)

    def __getitem__(self, image_id: str) -> Row:
        if image_id not in self._where:
            raise UserError(f"{self.out}: no map of {image_id}")
        shard, group, row = self._where[image_id]
        return self._read_group(shard, group)[row]

    def __iter__(self) -> Iterator[Row]:
        for path in self._paths:
            with explain_broken_parquet(path), open_table(path, self._contract) as file:
                for batch in file.iter_batches(batch_size=32):
                    yield from batch.to_pylist()

    def _read_group(self, shard: int, group: int) -> list[Row]:
        rows = self._groups.pop((shard, group), None)
        if rows is None:
            with explain_broken_parquet(self._paths[shard]), open_table(self._paths[shard], self._contract) as file:
                rows = file.read_row_group(group).to_pylist()
        self._groups[shard, group] = rows
        if len(self._groups) > _CACHED_ROW_GROUPS:
            self._groups.popitem(last=False)
        return rows
