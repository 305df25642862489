"""PNG masks with a palette, as image editors show them and MMSegmentation and others read them."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from PIL import Image

from stages.core.artifacts.shards import write_atomically
from stages.core.png_files import encode_png
from stages.predict.exports.writer import MOST_INDEXED, Segmented, Writer
from stages.predict.results import write_csv


class PaletteWriter(Writer):
    """`masks/NAME.png`, whose indices are the ids and whose palette has the colors of the report; `classes.csv`.

    Ids above 254 need 16 bits, for which PNG knows no palette.
    """

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        is_narrow = max(self.naming.legend) <= MOST_INDEXED
        data = encode_indexed(one.mask, self.colors) if is_narrow else encode_png(one.mask)
        write_atomically(self.out / "masks" / f"{self.name(one.path)}.png", data)

    def finish(self) -> str:
        """See `Writer.finish`."""
        rows = [
            (number, name, "#{:02x}{:02x}{:02x}".format(*self.colors[number]))
            for number, name in self.naming.legend.items()
        ]
        write_csv(self.out / "classes.csv", ("id", "name", "color"), rows)
        return "masks/ holds one id per pixel, classes.csv their names"


def encode_indexed(mask: npt.NDArray[np.integer], colors: Mapping[int, tuple[int, int, int]]) -> bytes:
    """A PNG of ids 0..255 with a palette."""
    palette = np.zeros((256, 3), np.uint8)
    for number, rgb in colors.items():
        palette[number] = rgb
    image, data = Image.fromarray(mask.astype(np.uint8)), io.BytesIO()
    image.putpalette(palette.tobytes())
    image.save(data, "PNG")
    return data.getvalue()
