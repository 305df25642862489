"""Artifact `image_index`: the table of usable photographs."""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stages.core.artifacts.shards import (
    ARTIFACTS,
    atomic_out,
    contract_name,
    read_json,
    read_table,
    write_atomically,
    write_table,
)
from stages.core.data import Rejected
from stages.core.data_link import data_root, how_to_adopt
from stages.core.errors import UserError
from stages.core.files import readable_name
from stages.core.image_files import UInt8, read_image

IMAGES = ARTIFACTS / "index" / "images"

_IMAGE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("split", pa.string()),
        ("path", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("bytes", pa.int64()),
        ("content_hash", pa.string()),
    ]
)


class Photo(NamedTuple):
    """One usable photograph."""

    image_id: str
    """Path without suffix, unique and opaque."""
    split: str
    path: str
    """Relative to `data/`."""
    height: int
    """Pixels, after EXIF rotation."""
    width: int
    bytes: int
    content_hash: str


class ChangedPhotograph(UserError):
    """A photograph is not the file that was indexed: no stage may go on without it, as it may without a broken one."""


class ImageIndex:
    """The table of photographs, in the order of their ids."""

    def __init__(self, table: pa.Table, content_hash: str = "") -> None:
        self._table = table
        self.content_hash = content_hash

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, position: int) -> Photo:
        row = self._table.slice(range(len(self))[position], 1).to_pylist()[0]
        return Photo(**row)

    @property
    def image_ids(self) -> list[str]:
        """Ids in order."""
        return list(self._table.column("image_id").to_pylist())

    def in_splits(self, *splits: str) -> "ImageIndex":
        """The photographs of some splits, of which there must be one.

        Raises:
            UserError: No photograph belongs to the splits.
        """
        chosen = self._table.filter(pc.is_in(self._table.column("split"), value_set=pa.array(splits, pa.string())))
        if not chosen.num_rows:
            there = sorted(set(self._table.column("split").to_pylist()))
            raise UserError(f"{IMAGES}: no photograph in split {' or '.join(splits)}; there are: {', '.join(there)}")
        return ImageIndex(chosen, self.content_hash)

    def with_ids(self, image_ids: Iterable[str]) -> "ImageIndex":
        """The photographs with these ids, in the index's order."""
        wanted = pa.array(list(image_ids), pa.string())
        return ImageIndex(
            self._table.filter(pc.is_in(self._table.column("image_id"), value_set=wanted)), self.content_hash
        )

    def draw(self, count: int, seed: int = 0) -> "ImageIndex":
        """At most `count` photographs, drawn by a seed, in the index's order.

        The order itself follows category folders: what is taken evenly spread over it has as much of every category.
        """
        rows = np.sort(np.random.default_rng(seed).permutation(len(self))[:count])
        return ImageIndex(self._table.take(pa.array(rows, pa.int64())), self.content_hash)

    def take_rows(self, rows: range) -> "ImageIndex":
        """Some rows, copied, so that only they are sent to another process."""
        return ImageIndex(self._table.take(pa.array(rows, pa.int64())), self.content_hash)

    @property
    def is_constant(self) -> bool:
        """Whether all photographs have the same content."""
        return int(pc.count_distinct(self._table.column("content_hash")).as_py()) <= 1

    def has(self, split: str) -> bool:
        """Whether any photograph belongs to the split."""
        return split in self._table.column("split").to_pylist()

    def read(self, position: int) -> UInt8:
        """Decode a photograph to (H, W, 3) uint8 RGB; see `read_photo`."""
        return read_photo(self[position])


def read_photo(photo: Photo, reduction: int = 1) -> UInt8:
    """Decode a photograph of the index; see `read_image`.

    Raises:
        ChangedPhotograph: The file has another size than when it was indexed, or is gone.
        UserError: It cannot be read any more.
    """
    path = data_root() / photo.path
    size = path.stat().st_size if path.exists() else None
    if size != photo.bytes:
        told = f"{photo.bytes} bytes then, {'no file' if size is None else size} now"
        raise ChangedPhotograph(f"{path}: changed or gone since it was indexed ({told}); {how_to_adopt()}")
    return read_image(path, reduction)


def write_images(photos: Iterable[Photo], rejected: Iterable[Rejected], method: str) -> None:
    """Write `artifacts/index/images`."""
    rows = sorted(photos, key=lambda photo: photo.image_id)
    table = pa.table({name: [getattr(row, name) for row in rows] for name in Photo._fields}, _IMAGE_SCHEMA)
    with atomic_out(IMAGES, "image_index", "index", method) as out:
        write_table(
            out / "images.parquet",
            table,
            {"contract": contract_name("image_index"), "stage": "index", "method": method},
        )
        write_rejected(out, rejected)


def read_images(out: Path = IMAGES) -> ImageIndex:
    """Read `artifacts/index/images`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    table = read_table(out / "images.parquet", "image_index")
    return ImageIndex(table, read_json(out / "manifest.json")["content_hash"])


def write_rejected(out: Path, rejected: Iterable[Rejected]) -> None:
    """Write `rejected.csv`, the files that were left out and why, into a folder."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Rejected._fields)
    writer.writerows(sorted((readable_name(file.path), readable_name(file.reason)) for file in rejected))
    write_atomically(out / "rejected.csv", text.getvalue().encode())
