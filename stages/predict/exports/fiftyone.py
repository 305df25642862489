"""FiftyOne's `ImageSegmentationDirectory`: photographs and masks of the same names, and what the ids mean.

Source: FiftyOne's documentation of the format.
"""

from __future__ import annotations

import numpy as np

from stages.core.artifacts.shards import encode_json, write_atomically
from stages.core.png_files import encode_png
from stages.predict.exports.writer import Segmented, Writer, copy_photograph


class FiftyOneWriter(Writer):
    """`data/`, `labels/` with one id per pixel, and `mask_targets.json`."""

    def add(self, one: Segmented) -> None:
        """See `Writer.add`."""
        name = self.name(one.path)
        narrow = one.mask.astype(np.uint8) if max(self.naming.legend) < 256 else one.mask
        copy_photograph(one, self.out / "data" / name)
        write_atomically(self.out / "labels" / f"{name}.png", encode_png(narrow))

    def finish(self) -> str:
        """See `Writer.finish`."""
        targets = {str(number): name for number, name in self.naming.legend.items() if number}
        write_atomically(self.out / "mask_targets.json", encode_json(targets))
        return (
            f'fiftyone.Dataset.from_dir("{self.out}", fiftyone.types.ImageSegmentationDirectory) reads it; set its '
            "default_mask_targets from mask_targets.json"
        )
