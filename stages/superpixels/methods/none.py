"""No superpixels, for methods that do not use any."""

from typing import Literal

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import write_label_maps
from stages.superpixels.regions import SuperpixelMethod


class NoSuperpixels(SuperpixelMethod):
    """Writes an empty table at once."""

    method: Literal["none"] = "none"

    def write_maps(self, index: ImageIndex) -> None:
        """Write no map for any photograph."""
        write_label_maps("superpixels", self.method, [])
