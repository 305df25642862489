"""No superpixels, for methods that do not use any."""

from typing import TYPE_CHECKING, Literal

from stages.superpixels.regions import SuperpixelMethod

if TYPE_CHECKING:
    from stages.core.artifacts.image_index import ImageIndex


class NoSuperpixelsConfig(SuperpixelMethod):
    """Writes an empty table at once."""

    method: Literal["none"] = "none"

    def write_maps(self, index: "ImageIndex") -> None:
        """Write no map for any photograph."""
        from stages.core.artifacts.label_maps import write_label_maps

        write_label_maps("superpixels", self.method, [])
