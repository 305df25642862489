"""The abstract configs of the stage `pseudolabel`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.core.config.params import Params

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.artifacts.label_maps import LabelMap


class PseudolabelConfig(Params, ABC):
    """A method that labels photographs or pixels; its fields are the section `pseudolabel` of params.yaml."""

    method: str
    """Names the way."""

    @abstractmethod
    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Write `artifacts/pseudolabel`: label maps, 0 background, ids from 1, and what the method makes beside them.

        Args:
            index: All photographs of `artifacts/index/images`.
            assignments: The cluster of every vector of `artifacts/cluster`.

        Raises:
            UserError: What the way wants is not there, or was clustered otherwise.
        """


class StreamedLabels(PseudolabelConfig):
    """A method that makes nothing but label maps, one photograph after another."""

    @abstractmethod
    def label(self, index: "ImageIndex", assignments: "Assignments") -> "Iterator[LabelMap]":
        """The label maps of all photographs that have a label, in the index's order; see `write_labels`."""

    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Write the maps as they are made; see `PseudolabelConfig.write_labels`."""
        from stages.core.artifacts.label_maps import write_label_maps

        write_label_maps("pseudolabel", self.method, self.label(index, assignments))
