"""Artifact `image_index`: the table of usable photographs, and in another table their labels."""

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
    encode_json,
    read_json,
    read_table,
    write_atomically,
    write_table,
)
from stages.core.data import IGNORE_ID, Rejected
from stages.core.data_link import data_root, how_to_adopt
from stages.core.errors import UserError
from stages.core.files import readable_name
from stages.core.image_files import Int32, UInt8, read_image, read_mask

IMAGES, LABELS = ARTIFACTS / "index" / "images", ARTIFACTS / "index" / "labels"
_MASK_IDS = "mask_ids.json"

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
_LABEL_SCHEMA = pa.schema(
    [("image_id", pa.string()), ("mask_path", pa.string()), ("mask_hash", pa.string()), ("class_name", pa.string())]
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


class Label(NamedTuple):
    """Mask and category of a photograph. Only `evaluate` and explicitly supervised methods may read it."""

    image_id: str
    mask_path: str | None
    mask_hash: str | None
    class_name: str | None


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


class Labels:
    """Masks and class names by image; both may be missing for any image."""

    def __init__(self, table: pa.Table, classes: dict[int, str], mask_ids: dict[int, int] | None = None) -> None:
        rows = (Label(**row) for row in table.to_pylist())
        self._by_id = {row.image_id: row for row in rows}
        self.classes = classes
        """Class names by id, from 1; empty where the data set has no classes."""
        self.mask_ids = mask_ids
        """Class id, 0 or `IGNORE_ID` by the id that masks hold; None where they hold class ids themselves."""

    def mask_path(self, image_id: str) -> str | None:
        """Path of the mask relative to `data/`."""
        label = self._by_id.get(image_id)
        return label.mask_path if label else None

    def class_name(self, image_id: str) -> str | None:
        """Name of the category that the photograph is filed under."""
        label = self._by_id.get(image_id)
        return label.class_name if label else None

    def read_mask(self, image_id: str) -> Int32:
        """Class ids (H, W) of a photograph's pixels, `IGNORE_ID` where they are not scored.

        Raises:
            UserError: It has no mask, or one that cannot be read any more.
        """
        path = self.mask_path(image_id)
        if path is None:
            raise UserError(f"{LABELS}: {image_id} has no mask")
        return read_class_map(data_root() / path, self.mask_ids)


def read_class_map(path: Path, mask_ids: dict[int, int] | None) -> Int32:
    """Class ids (H, W) of a mask file; `mask_ids` as in `Labels`, ids that it does not name become `IGNORE_ID`."""
    stored = read_mask(path, indexed=mask_ids is not None)
    if mask_ids is None:
        return stored
    table = np.full(max(int(stored.max(initial=0)), *mask_ids) + 1, IGNORE_ID, np.int32)
    table[list(mask_ids)] = list(mask_ids.values())
    return np.asarray(table[stored])


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
        _write_rejected(out, rejected)


def write_labels(
    labels: Iterable[Label],
    classes: dict[int, str],
    rejected: Iterable[Rejected],
    method: str,
    mask_ids: dict[int, int] | None = None,
) -> None:
    """Write `artifacts/index/labels`; `mask_ids` as in `Labels`."""
    rows = sorted(labels)
    table = pa.table({name: [getattr(row, name) for row in rows] for name in Label._fields}, _LABEL_SCHEMA)
    with atomic_out(LABELS, "labels", "index", method) as out:
        write_table(
            out / "labels.parquet", table, {"contract": contract_name("labels"), "stage": "index", "method": method}
        )
        write_atomically(out / "classes.json", encode_json({str(key): name for key, name in sorted(classes.items())}))
        if mask_ids is not None:
            write_atomically(out / _MASK_IDS, encode_json({str(key): value for key, value in sorted(mask_ids.items())}))
        _write_rejected(out, rejected)


def read_images(out: Path = IMAGES) -> ImageIndex:
    """Read `artifacts/index/images`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    table = read_table(out / "images.parquet", "image_index")
    return ImageIndex(table, read_json(out / "manifest.json")["content_hash"])


def read_labels(out: Path = LABELS) -> Labels:
    """Read `artifacts/index/labels`. Only for `evaluate` and stages with `supervision: labels`."""
    classes = {int(key): name for key, name in read_json(out / "classes.json").items()}
    stored = read_json(out / _MASK_IDS) if (out / _MASK_IDS).exists() else None
    mask_ids = None if stored is None else {int(key): value for key, value in stored.items()}
    return Labels(read_table(out / "labels.parquet", "labels"), classes, mask_ids)


def _write_rejected(out: Path, rejected: Iterable[Rejected]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Rejected._fields)
    writer.writerows(sorted((readable_name(file.path), readable_name(file.reason)) for file in rejected))
    write_atomically(out / "rejected.csv", text.getvalue().encode())
