"""Artifact `class_maps`: soft maps of several classes per photograph (pseudo-labels that are no decision yet).

A stage that makes them writes them beside its label maps, in the folder `class_maps` of its out, with a manifest of
their own. A map is a value above a map that all classes of the photograph share, in 8 bits: small differences between
classes on top of a large common map would be lost if the sum were stored.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.core.artifacts.shards import (
    ARTIFACTS,
    atomic_out,
    contract_name,
    read_manifest,
    read_table_metadata,
    shard_paths,
    write_table,
)
from stages.core.artifacts.stored_rows import StoredRows
from stages.core.errors import UserError
from stages.core.png_files import decode_png, encode_png

FOLDER = "class_maps"
"""Of a stage's out."""

_SHARD_ROWS = 256
_LEVELS = 254
"""Steps of a stored value, from byte 1 to 255; byte 0 is a place that does not count."""
_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("height", pa.int32()),
        ("width", pa.int32()),
        ("class_ids", pa.list_(pa.uint16())),
        ("map_height", pa.int32()),
        ("map_width", pa.int32()),
        ("base", pa.list_(pa.float32())),
        ("scales", pa.list_(pa.float32())),
        ("maps_png", pa.binary()),
    ]
)

Float32 = npt.NDArray[np.float32]


class ClassMaps(NamedTuple):
    """The maps of one photograph, of the classes that have a place in it: K' of K."""

    image_id: str
    height: int
    """Of the photograph, after EXIF rotation; the maps are smaller."""
    width: int
    class_ids: npt.NDArray[np.uint16]
    """(K',) ascending, from 0 as clusters; in label maps the same class is id + 1."""
    above: Float32
    """(K', h, w) value above the base, not negative; NaN where a place does not count for a class."""
    base: Float32 | None = None
    """(h, w) what all classes share; None for 0."""

    @property
    def values(self) -> Float32:
        """(K', h, w): base and what lies above it; 0 where a place does not count."""
        return np.nan_to_num(self.above if self.base is None else self.base + self.above)

    def spread(self, classes: int) -> Float32:
        """(classes, h, w): `values` by class id, 0 for classes that have no place."""
        maps = np.zeros((classes, *self.above.shape[1:]), np.float32)
        maps[self.class_ids] = self.values
        return maps

    @property
    def best(self) -> npt.NDArray[np.uint16]:
        """(h, w) label: 1 + the class of the highest value, the first of several; 0 where no class has a place.

        It compares what lies above the base: in the sum, float32 may no longer tell two classes apart.
        """
        if not len(self.class_ids):
            return np.zeros(self.above.shape[1:], np.uint16)
        comparable = np.where(np.isnan(self.above), -np.inf, self.above)
        found = self.class_ids[comparable.argmax(0)] + np.uint16(1)
        return np.where(np.isnan(self.above).all(0), np.uint16(0), found)


class Origin(NamedTuple):
    """What made class maps, as their files say it."""

    stage: str
    method: str
    classes: int
    """K; class ids are smaller."""


class StoredClassMaps:
    """Reader of an artifact of class maps: in order, or by image id; copies in other processes read by themselves."""

    def __init__(self, out: Path) -> None:
        self._rows = StoredRows(out, "class_maps")
        self.content_hash = self._rows.content_hash
        self.classes = int(read_table_metadata(shard_paths(out)[0], "class_maps")["classes"])
        """K"""

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._rows

    @property
    def image_ids(self) -> list[str]:
        """Ids in order."""
        return self._rows.image_ids

    def __getitem__(self, image_id: str) -> ClassMaps:
        return _decode_row(self._rows[image_id])

    def __iter__(self) -> Iterator[ClassMaps]:
        return map(_decode_row, self._rows)

    def check_classes(self, clusters: int) -> None:
        """Check that the maps are of as many classes as there are clusters.

        Raises:
            UserError: They are not.
        """
        if self.classes != clusters:
            raise UserError(
                f"{self._rows.out}: maps of {self.classes} classes, but artifacts/cluster has {clusters} centroids; "
                "run `dvc repro`, which makes them of these"
            )


def open_class_maps(stage: str) -> StoredClassMaps:
    """Open the class maps in `artifacts/<stage>`.

    Raises:
        UserError: Missing, broken or of another version, or the stage's method makes none.
    """
    out = ARTIFACTS / stage
    method = read_manifest(out, "label_maps")["method"]
    if not (out / FOLDER).is_dir():
        raise UserError(f"{out}: {stage}.method: {method} makes no class maps; take one that does, as vit_gradcam")
    return StoredClassMaps(out / FOLDER)


def write_class_maps(out: Path, origin: Origin, maps: Iterable[ClassMaps]) -> None:
    """Write a folder of class maps that come in the order of their image ids; streams."""
    rows = iter(maps)
    with atomic_out(out, "class_maps", origin.stage, origin.method) as partial:
        chunk, shard = list(islice(rows, _SHARD_ROWS)), 0
        while chunk or shard == 0:
            write_class_shard(partial / f"part-{shard:05d}.parquet", origin, chunk)
            chunk, shard = list(islice(rows, _SHARD_ROWS)), shard + 1


def write_class_shard(path: Path, origin: Origin, maps: Iterable[ClassMaps]) -> None:
    """Write one shard atomically; each photograph is encoded as it comes, so that few are in memory at once."""
    table = pa.Table.from_pylist([_encode_row(row) for row in maps], _SCHEMA)
    write_table(path, table, {"contract": contract_name("class_maps"), **origin._asdict()})


def _encode_row(maps: ClassMaps) -> dict[str, Any]:
    height, width = maps.above.shape[1:]
    kept = ~np.isnan(maps.above).all((1, 2))
    above = np.where(np.isnan(maps.above), -np.inf, maps.above)[kept]
    counts = np.isfinite(above)
    if (above[counts] < 0).any():
        raise ValueError(f"class maps of {maps.image_id}: a value below the base")
    scales = above.max((1, 2)).astype(np.float32) if len(above) else np.zeros(0, np.float32)
    stored = np.where(counts, _round(above, scales) + np.uint8(1), np.uint8(0)).reshape(-1, width)
    return {
        "image_id": maps.image_id,
        "height": maps.height,
        "width": maps.width,
        "class_ids": maps.class_ids[kept].tolist(),
        "map_height": height,
        "map_width": width,
        "base": None if maps.base is None else maps.base.ravel(),
        "scales": scales,
        "maps_png": encode_png(stored) if len(stored) else b"",
    }


def _round(above: Float32, scales: Float32) -> npt.NDArray[np.uint8]:
    """Steps (K', h, w) of 254 of each class's scale: the nearest, but where that would put another class first.

    There the first class takes the step above its value, and what would come before it the step below its own.

    Args:
        above: (K', h, w), minus infinity where a place does not count.
        scales: (K',) the largest value of each class.
    """
    lengths = (np.where(scales > 0, scales, 1) / np.float32(_LEVELS))[:, None, None]
    steps = np.rint(above / lengths)
    if len(above) > 1:
        first = above.argmax(0)
        is_first = np.arange(len(above))[:, None, None] == first
        is_changed = (steps * lengths).argmax(0) != first
        raised = np.minimum(np.ceil(above / lengths), _LEVELS)
        steps = np.where(is_changed & is_first, raised, steps)
        highest = np.where(is_first, steps * lengths, -np.inf).max(0)
        is_above = is_changed & ~is_first & (steps * lengths >= highest)
        steps = np.where(is_above, np.floor(above / lengths), steps)
    return np.maximum(steps, 0).astype(np.uint8)


def _decode_row(row: dict[str, Any]) -> ClassMaps:
    height, width = row["map_height"], row["map_width"]
    scales = np.array(row["scales"], np.float32)
    stored = decode_png(row["maps_png"]).astype(np.float32) if len(scales) else np.zeros(0, np.float32)
    levels = stored.reshape(len(scales), height, width)
    above = (levels - 1) * (scales / np.float32(_LEVELS))[:, None, None]
    above[levels == 0] = np.nan
    base = None if row["base"] is None else np.array(row["base"], np.float32).reshape(height, width)
    return ClassMaps(row["image_id"], row["height"], row["width"], np.array(row["class_ids"], np.uint16), above, base)
