"""COCO's instances: one annotation per connected component, as run lengths and as polygons.

Source: the data format on cocodataset.org; run lengths go down the columns.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.predict.exports.polygons import outline
from stages.predict.exports.runs import count_alternately, runs_of_each
from stages.predict.exports.writer import Segmented, Writer


class COCOWriter(Writer):
    """`annotations.json` with compressed run lengths, and `polygons.json` with the same pixels as polygons.

    Pixels that touch at a corner alone belong to two components. `area` is in pixels, `bbox` is x, y, width, height.
    """

    def __init__(self, out: Path, naming: Naming) -> None:
        super().__init__(out, naming)
        try:
            from pycocotools import mask
        except ImportError:
            raise UserError("--format coco: needs pycocotools; pip install 'luss[export]'") from None
        self._encode = mask.frPyObjects
        self._images: list[dict[str, Any]] = []
        self._rle: list[dict[str, Any]] = []
        self._polygons: list[dict[str, Any]] = []

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        height, width = one.mask.shape
        self._images.append({"id": len(self._images) + 1, "file_name": one.path, "width": width, "height": height})
        components, categories, boxes = _find_components(one.mask)
        runs = runs_of_each(components.T.reshape(-1))
        raw = [
            {"size": [height, width], "counts": count_alternately(runs[number + 1], components.size)}
            for number in range(len(categories))
        ]
        coded = self._encode(raw, height, width) if raw else []
        for number, (category, (x, y, w, h, area)) in enumerate(zip(categories, boxes, strict=True)):
            head = {
                "id": len(self._rle) + 1,
                "image_id": len(self._images),
                "category_id": category,
                "iscrowd": 0,
                "area": area,
                "bbox": [x, y, w, h],
            }
            counts = {"size": [height, width], "counts": coded[number]["counts"].decode()}
            corners = outline(components[y : y + h, x : x + w] == number + 1, (x, y))
            self._rle.append(head | {"segmentation": counts})
            self._polygons.append(head | {"segmentation": [corners]})

    def finish(self) -> str:
        """See `Writer.finish`."""
        categories = [{"id": number, "name": name} for number, name in self.naming.legend.items() if number]
        for file, found in (("annotations.json", self._rle), ("polygons.json", self._polygons)):
            content = {"info": {}, "licenses": [], "images": self._images, "categories": categories}
            text = json.dumps(content | {"annotations": found}, ensure_ascii=False)
            write_atomically(self.out / file, text.encode())
        return "annotations.json holds run lengths, polygons.json the same as polygons"


def _find_components(
    mask: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.int32], list[int], list[tuple[int, int, int, int, int]]]:
    """Ids 1.. of the components (H, W), and for each its category and its x, y, width, height and area."""
    components = np.zeros(mask.shape, np.int32)
    categories: list[int] = []
    boxes: list[tuple[int, int, int, int, int]] = []
    for category in _categories(mask):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((mask == category).astype(np.uint8), connectivity=4)
        components[parts > 0] = parts[parts > 0] + len(categories)
        categories += [category] * (count - 1)
        boxes += [(x, y, w, h, area) for x, y, w, h, area in stats[1:].tolist()]
    return components, categories, boxes


def _categories(mask: npt.NDArray[np.uint16]) -> Iterator[int]:
    return (int(number) for number in np.unique(mask) if number)
