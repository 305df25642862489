"""Artifact `label_maps`: one map per photograph (superpixels, saliency, pseudo-labels, predictions)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stages.core.artifacts.histories import HISTORY, encode_history
from stages.core.artifacts.shards import (
    ARTIFACTS,
    atomic_out,
    contract_name,
    explain_broken_parquet,
    open_table,
    write_atomically,
    write_table,
)
from stages.core.artifacts.stored_rows import StoredRows
from stages.core.errors import UserError
from stages.core.image_files import UnreadableImage
from stages.core.png_files import decode_png, encode_png

IGNORE = 65535
"""Id of pixels that count neither as background nor as a cluster, in 16-bit maps."""

SALIENT = 128
"""From here on a pixel of a stored saliency map (0..255) belongs to the object. MaskContrast: 0.5."""

SHARDS = "part-*.parquet"
"""Names of shards."""
_SHARD_ROWS = 256
_FIELDS = [("image_id", pa.string()), ("height", pa.int32()), ("width", pa.int32()), ("map_png", pa.binary())]


class LabelMap(NamedTuple):
    """A map of one photograph."""

    image_id: str
    height: int
    """Of the photograph, after EXIF rotation; the map itself may be smaller."""
    width: int
    map: npt.NDArray[np.generic]
    """(h, w) bool, uint8 or uint16. 0 background or other; id = cluster_id + 1; saliency 0..255."""
    score: npt.NDArray[np.uint8] | None = None
    """(h, w) the score in hundredths, rounded down: `stored < 100 t` equals `score < t` for every t in hundredths."""


EncodedMap = dict[str, Any]
"""A `LabelMap` as a row of a shard."""


class LabelMaps:
    """Reader of an artifact of label maps: in order, or by image id."""

    def __init__(self, out: Path) -> None:
        self._rows = StoredRows(out, "label_maps")
        self.content_hash = self._rows.content_hash

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._rows

    @property
    def image_ids(self) -> list[str]:
        """Ids in order."""
        return self._rows.image_ids

    def __getitem__(self, image_id: str) -> LabelMap:
        row = self._rows[image_id]
        try:
            return _decode_row(row)
        except UnreadableImage as error:
            shard = self._rows.path_of(image_id)
            raise UserError(f"{shard}: broken ({error}); delete {shard.parent} and run `dvc repro`") from None

    def __iter__(self) -> Iterator[LabelMap]:
        return map(_decode_row, self._rows)


def open_label_maps(stage: str) -> LabelMaps:
    """Open `artifacts/<stage>`.

    Raises:
        UserError: Missing, broken or of another version.
    """
    return LabelMaps(ARTIFACTS / stage)


def write_label_maps(
    stage: str,
    method: str,
    maps: Iterable[LabelMap],
    out: Path | None = None,
    history: Sequence[Mapping[str, float | int]] = (),
) -> None:
    """Write `artifacts/<stage>` from maps that come in the order of their image ids; streams.

    Args:
        stage: Stage that writes.
        method: Its method.
        maps: What is written.
        out: Another folder.
        history: Of the training that the maps come from, as history.csv.
    """
    rows = iter(maps)
    with atomic_out(out or ARTIFACTS / stage, "label_maps", stage, method) as partial:
        first = list(islice(rows, _SHARD_ROWS))
        shard = 0
        while first or shard == 0:
            write_shard(shard_path(partial, shard), first, stage, method)
            first = list(islice(rows, _SHARD_ROWS))
            shard += 1
        if history:
            write_atomically(partial / HISTORY, encode_history(history))


def shard_path(out: Path, shard: int) -> Path:
    """Where a shard of an artifact lies."""
    return out / f"part-{shard:05d}.parquet"


def iterate_shard(path: Path) -> Iterator[LabelMap]:
    """The maps of one shard, in order, without its artifact.

    Raises:
        UserError: It is broken.
    """
    with explain_broken_parquet(path), open_table(path, "label_maps") as file:
        for rows in file.iter_batches(_SHARD_ROWS):
            yield from map(_decode_row, rows.to_pylist())


def write_shard(path: Path, maps: Iterable[LabelMap] | Iterable[EncodedMap], stage: str, method: str) -> None:
    """Write one shard atomically; each map is encoded as it comes, so that few are in memory at once."""
    rows = [encode_map(row) if isinstance(row, LabelMap) else row for row in maps]
    has_score = any("score_png" in row for row in rows)
    schema = pa.schema([*_FIELDS, *[("score_png", pa.binary())] * has_score])
    table = pa.Table.from_pylist(rows, schema)
    write_table(path, table, {"contract": contract_name("label_maps"), "stage": stage, "method": method})


def encode_map(row: LabelMap) -> EncodedMap:
    """A map as it is stored: losslessly compressed."""
    encoded = {"image_id": row.image_id, "height": row.height, "width": row.width, "map_png": encode_png(row.map)}
    return encoded if row.score is None else encoded | {"score_png": encode_png(row.score)}


def _decode_row(row: dict[str, Any]) -> LabelMap:
    score = decode_png(row["score_png"]).astype(np.uint8) if row.get("score_png") else None
    return LabelMap(row["image_id"], row["height"], row["width"], decode_png(row["map_png"]), score)
