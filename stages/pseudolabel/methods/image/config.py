"""Parameters of one label per photograph."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from stages.pseudolabel.config import StreamedLabels

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.artifacts.label_maps import LabelMap


class ImageLabelConfig(StreamedLabels):
    """The cluster of the whole photograph."""

    method: Literal["image"] = "image"
    supervision: Literal["images"] = "images"
    """What the labels come from; this method knows photographs only."""

    def label(self, index: "ImageIndex", assignments: "Assignments") -> "Iterator[LabelMap]":
        """A 1x1 map of every photograph that was clustered as a whole; see `StreamedLabels.label`."""
        from stages.pseudolabel.methods.image.method import label

        return label(index, assignments)
