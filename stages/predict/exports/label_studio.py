"""Label Studio's tasks with brush masks as predictions, which annotators start from.

Source: Label Studio's documentation of predictions and of BrushLabels, and the decoder in the comments of its
converter: after the number of elements (32 bits), the bits of an element less one (5) and four sizes less one (4 each)
come blocks; a block is a bit for `all equal`, two bits for which size its length has, the length less one, and one
element or all.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import write_atomically
from stages.core.images.palette import css_color
from stages.predict.exports.runs import find_runs
from stages.predict.exports.writer import Segmented, Writer

_SIZES = (3, 4, 8, 16)
"""Bits of the lengths of blocks."""
_CHANNELS = 4
"""Label Studio paints RGBA; every channel has the mask's value."""


class LabelStudioWriter(Writer):
    """`tasks.json` to import and `config.xml`, the labeling interface; photographs are named as local files.

    Local storage must serve the folder of photographs: LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is its path.
    """

    def __init__(self, out: Path, naming: Naming) -> None:
        super().__init__(out, naming)
        self._tasks: list[dict[str, Any]] = []

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        height, width = one.mask.shape
        result = [
            {
                "id": f"category-{number}",
                "type": "brushlabels",
                "from_name": "category",
                "to_name": "photograph",
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": {
                    "format": "rle",
                    "rle": encode_brush(one.mask == number),
                    "brushlabels": [self.naming.name(int(number))],
                },
            }
            for number in np.unique(one.mask)
            if number
        ]
        self._tasks.append(
            {
                "data": {"image": f"/data/local-files/?d={one.path}"},
                "predictions": [{"model_version": "luss", "result": result}],
            }
        )

    def finish(self) -> str:
        """See `Writer.finish`."""
        labels = "".join(
            f"    <Label value={quoteattr(name)} background={quoteattr(css_color(number))}/>\n"
            for number, name in self.naming.legend.items()
            if number
        )
        config = (
            '<View>\n  <Image name="photograph" value="$image" zoom="true"/>\n'
            f'  <BrushLabels name="category" toName="photograph">\n{labels}  </BrushLabels>\n</View>\n'
        )
        write_atomically(self.out / "config.xml", config.encode())
        write_atomically(self.out / "tasks.json", json.dumps(self._tasks, ensure_ascii=False).encode())
        return "import tasks.json with config.xml as labeling interface"


def encode_brush(mask: npt.NDArray[np.bool_]) -> list[int]:
    """The bytes of a brush mask (H, W)."""
    bits = [f"{mask.size * _CHANNELS:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    runs = find_runs(mask.reshape(-1))
    for length, value in zip((_CHANNELS * runs.lengths).tolist(), runs.values.tolist(), strict=True):
        element = "11111111" if value else "00000000"
        while length > 0:
            block = min(length, 2 ** _SIZES[-1])
            kind = next(kind for kind, size in enumerate(_SIZES) if block <= 2**size)
            bits.append(f"1{kind:02b}{block - 1:0{_SIZES[kind]}b}{element}")
            length -= block
    whole = "".join(bits)
    whole += "0" * (-len(whole) % 8)
    return list(int(whole, 2).to_bytes(len(whole) // 8, "big"))
