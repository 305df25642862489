"""The abstract configs of the stage `pseudolabel`."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from stages.core.config.categories import CategoriesConfig
from stages.core.config.params import Params

if TYPE_CHECKING:
    from stages.core.artifacts.categories import Clusters
    from stages.core.artifacts.clusters import Assignments
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.artifacts.label_maps import LabelMap
    from stages.core.label_mapping import LabelPlan


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


class ClusterLabels(PseudolabelConfig):
    """A method that makes nothing but label maps, of clusters or of what a person has made of them."""

    categories: CategoriesConfig | None = None
    """Categories that are not the clusters: merged, cut into parts, or background, as `luss names --apply` writes them.
    A person has looked at photographs for it, so that the result is not strict. null: every cluster is a category."""

    @abstractmethod
    def label(self, index: "ImageIndex", clusters: "Clusters") -> "Iterator[LabelMap]":
        """The label maps of all photographs that have a label, in the index's order.

        Args:
            index: All photographs.
            clusters: With their parts, where some are cut; the label is the number of the cluster or part, from 1.

        Raises:
            UserError: What the way wants is not there, or was clustered otherwise.
        """

    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Write the maps as they are made; see `PseudolabelConfig.write_labels`."""
        from stages.core.artifacts.categories import Clusters
        from stages.core.artifacts.clusters import read_centroids
        from stages.core.artifacts.label_maps import write_label_maps

        clusters = Clusters(read_centroids(), assignments)
        if self.categories is None:
            write_label_maps("pseudolabel", self.method, self.label(index, clusters))
            return
        from stages.pseudolabel.categories import write_categories

        write_categories(self.method, self.categories, clusters, lambda cut: self.label(index, cut))


class MappedLabels(PseudolabelConfig):
    """A method that labels photographs each by itself, wherever workers are; else as `ClusterLabels`."""

    categories: CategoriesConfig | None = None
    """See `ClusterLabels.categories`."""

    @abstractmethod
    def plan(self, index: "ImageIndex", clusters: "Clusters") -> "LabelPlan":
        """How all photographs that have a label get theirs; see `ClusterLabels.label`."""

    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Write the maps, resumable; see `PseudolabelConfig.write_labels`."""
        from stages.core.artifacts.categories import Clusters
        from stages.core.artifacts.clusters import read_centroids
        from stages.core.label_mapping import Job, map_labels

        clusters, job = Clusters(read_centroids(), assignments), Job("pseudolabel", self.method, self)
        if self.categories is None:
            map_labels(job, self.plan(index, clusters))
            return
        from stages.pseudolabel.categories import map_categories

        map_categories(job, self.categories, clusters, lambda cut: self.plan(index, cut))
