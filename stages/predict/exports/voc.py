"""Pascal VOC's folders, and CVAT's `Segmentation mask 1.1`, which is made like them.

Sources: the VOC 2012 development kit, section 2; CVAT's documentation of the format (labelmap.txt, ImageSets,
SegmentationClass and SegmentationObject with the colors of labelmap.txt).
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np

from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.core.image_files import UInt8
from stages.core.png_files import encode_png
from stages.predict.exports.palette import encode_indexed
from stages.predict.exports.writer import Segmented, Writer, copy_photograph

_MOST_OBJECTS = 255


class VOCWriter(Writer):
    """`JPEGImages`, `SegmentationClass` with a palette, `ImageSets/Segmentation/default.txt` and `labelmap.txt`."""

    def __init__(self, out: Path, naming: Naming) -> None:
        super().__init__(out, naming)
        self.check_palette()
        self._label_map = describe_labels(self)
        self._names: list[str] = []

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        name = self.name(one.path)
        copy_photograph(one, self.out / "JPEGImages" / name)
        write_atomically(self.out / "SegmentationClass" / f"{name}.png", encode_indexed(one.mask, self.colors))
        self._names.append(name)

    def finish(self) -> str:
        """See `Writer.finish`."""
        write_atomically(self.out / "ImageSets/Segmentation/default.txt", _lines(self._names))
        write_atomically(self.out / "labelmap.txt", self._label_map)
        return "masks hold ids as indices, 0 is background; labelmap.txt tells names and colors"


class CVATWriter(Writer):
    """`annotations.zip`, to be uploaded in CVAT as `Segmentation mask 1.1` to a task with these photographs."""

    def __init__(self, out: Path, naming: Naming) -> None:
        super().__init__(out, naming)
        self._label_map = describe_labels(self)
        self._names: list[str] = []
        self._colors = np.zeros((len(naming.shown), 3), np.uint8)
        for number, rgb in self.colors.items():
            self._colors[number] = rgb
        self._zip = zipfile.ZipFile(out / "annotations.zip", "w", zipfile.ZIP_STORED)

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        name = self.name(one.path)
        self._zip.writestr(f"SegmentationClass/{name}.png", encode_png(self._colors[one.mask]))
        if (objects := _paint_objects(one)) is not None:
            self._zip.writestr(f"SegmentationObject/{name}.png", encode_png(objects))
        self._names.append(name)

    def finish(self) -> str:
        """See `Writer.finish`."""
        self._zip.writestr("ImageSets/Segmentation/default.txt", _lines(self._names))
        self._zip.writestr("labelmap.txt", self._label_map)
        self._zip.close()
        return "upload annotations.zip as `Segmentation mask 1.1`; the task's labels are those of labelmap.txt in it"


def describe_labels(writer: Writer) -> bytes:
    """labelmap.txt: `name:red,green,blue:parts:actions` per line.

    Raises:
        UserError: A name holds a colon or begins like a comment.
    """
    for name in writer.naming.legend.values():
        if ":" in name or name.startswith("#"):
            raise UserError(f"names.yaml: {name!r}: labelmap.txt of this format cannot hold a colon, nor # at first")
    lines = [f"{writer.naming.name(number)}:{r},{g},{b}::" for number, (r, g, b) in writer.colors.items()]
    return _lines(["# label:color_rgb:parts:actions", *lines])


def _paint_objects(one: Segmented) -> UInt8 | None:
    """(H, W, 3) every connected component of a category in a color of its own, of those that the development kit has.

    None where there are more objects than its 255 colors: CVAT then takes the categories alone.
    """
    objects, count = np.zeros(one.mask.shape, np.int64), 0
    for number in np.unique(one.mask[one.mask > 0]):
        found, parts = cv2.connectedComponents((one.mask == number).astype(np.uint8), connectivity=4)
        objects = np.where(parts > 0, parts + count, objects)
        count += found - 1
    if count > _MOST_OBJECTS:
        return None
    painted: UInt8 = np.array([_voc_color(number) for number in range(count + 1)], np.uint8)[objects]
    return painted


def _voc_color(number: int) -> tuple[int, ...]:
    """The development kit's color of an index: its bits go to red, green and blue in turn, the highest places first."""
    return tuple(sum((number >> 3 * bit + channel & 1) << 7 - bit for bit in range(8)) for channel in range(3))


def _lines(names: list[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()
