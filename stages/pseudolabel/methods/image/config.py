"""Parameters of one label per photograph."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from stages.pseudolabel.config import ClusterLabels

if TYPE_CHECKING:
    from stages.core.artifacts.categories import Clusters
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.artifacts.label_maps import LabelMap


class ImageLabelConfig(ClusterLabels):
    """The cluster of the whole photograph."""

    method: Literal["image"] = "image"
    supervision: Literal["images"] = "images"
    """What the labels come from; this method knows photographs only."""

    def label(self, index: "ImageIndex", clusters: "Clusters") -> "Iterator[LabelMap]":
        """A 1x1 map of every photograph that was clustered as a whole; see `ClusterLabels.label`."""
        from stages.pseudolabel.methods.image.method import label

        return label(index, clusters.assignments)
