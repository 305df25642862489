"""A data set in Parquet as the Hugging Face library `datasets` and the viewer of its hub read it.

Source: the documentation of image data sets: a column of struct<bytes, path> whose type stands in the metadata of the
schema under `huggingface`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import encode_json, write_atomically
from stages.core.png_files import encode_png
from stages.predict.exports.writer import Segmented, Writer

_ROWS = 500
"""Photographs per file."""
_IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_FEATURES = {
    "image": {"_type": "Image"},
    "mask": {"_type": "Image"},
    "path": {"dtype": "string", "_type": "Value"},
}
_SCHEMA = pa.schema(
    [("image", _IMAGE), ("mask", _IMAGE), ("path", pa.string())],
    {b"huggingface": json.dumps({"info": {"features": _FEATURES}}).encode()},
)
_CARD = """---
task_categories:
- image-segmentation
---

# Photographs with unsupervised masks

Columns: image, mask (one id per pixel, 0 is background), path. Names of the ids: id2label.json.
"""


class DatasetWriter(Writer):
    """`data/train-*.parquet` with the columns image, mask and path; `id2label.json`; `README.md`."""

    def __init__(self, out: Path, naming: Naming) -> None:
        super().__init__(out, naming)
        self._rows: list[dict[str, Any]] = []
        self._files = 0

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        narrow = one.mask.astype("uint8") if max(self.naming.legend) < 256 else one.mask
        photograph = {"bytes": (one.root / one.path).read_bytes(), "path": Path(one.path).name}
        mask = {"bytes": encode_png(narrow), "path": f"{Path(one.path).name}.png"}
        self._rows.append({"image": photograph, "mask": mask, "path": one.path})
        if len(self._rows) == _ROWS:
            self._flush()

    def finish(self) -> str:
        """See `Writer.finish`."""
        if self._rows or not self._files:
            self._flush()
        names = {str(number): name for number, name in self.naming.legend.items()}
        write_atomically(self.out / "id2label.json", encode_json(names))
        write_atomically(self.out / "README.md", _CARD.encode())
        return f'datasets.load_dataset("{self.out}") reads it; id2label.json holds the names'

    def _flush(self) -> None:
        table, buffer = pa.Table.from_pylist(self._rows, _SCHEMA), pa.BufferOutputStream()
        pq.write_table(table, buffer, row_group_size=100)
        write_atomically(self.out / "data" / f"train-{self._files:05d}.parquet", buffer.getvalue().to_pybytes())
        self._rows, self._files = [], self._files + 1
