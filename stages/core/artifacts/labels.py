"""Artifact `labels`: masks and categories of photographs, apart from the photographs themselves.

Only `evaluate` and explicitly supervised methods may read it.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from stages.core.artifacts.image_index import write_rejected
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
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.png_files import Int32, read_mask

LABELS = ARTIFACTS / "index" / "labels"
_MASK_IDS = "mask_ids.json"

_LABEL_SCHEMA = pa.schema(
    [("image_id", pa.string()), ("mask_path", pa.string()), ("mask_hash", pa.string()), ("class_name", pa.string())]
)


class Label(NamedTuple):
    """Mask and category of a photograph. Only `evaluate` and explicitly supervised methods may read it."""

    image_id: str
    mask_path: str | None
    mask_hash: str | None
    class_name: str | None


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
        write_rejected(out, rejected)


def count_rejected_masks(out: Path = LABELS) -> int:
    """How many files `index` could not use as masks; `rejected.csv` in the folder lists them."""
    with (out / "rejected.csv").open(encoding="utf-8", newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def read_labels(out: Path = LABELS) -> Labels:
    """Read `artifacts/index/labels`. Only for `evaluate` and stages with `supervision: labels`."""
    classes = {int(key): name for key, name in read_json(out / "classes.json").items()}
    stored = read_json(out / _MASK_IDS) if (out / _MASK_IDS).exists() else None
    mask_ids = None if stored is None else {int(key): value for key, value in stored.items()}
    return Labels(read_table(out / "labels.parquet", "labels"), classes, mask_ids)
