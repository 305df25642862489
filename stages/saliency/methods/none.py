"""No saliency, for methods that do not use any."""

from typing import Literal

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import write_label_maps
from stages.saliency.maps import SaliencyMethod


class NoSaliency(SaliencyMethod):
    """Writes an empty table at once."""

    method: Literal["none"] = "none"

    def write_maps(self, index: ImageIndex) -> None:
        """Write no map for any photograph."""
        write_label_maps("saliency", self.method, [])
