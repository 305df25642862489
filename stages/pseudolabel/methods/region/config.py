"""Parameters of one label per region."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.pseudolabel.config import MappedLabels

if TYPE_CHECKING:
    from stages.core.artifacts.categories import Clusters
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.label_mapping import LabelPlan


class RegionLabelConfig(MappedLabels):
    """The cluster of each pixel's region."""

    method: Literal["region"] = "region"
    supervision: Literal["images"] = "images"
    """What the labels come from; this method knows photographs only."""
    regions: Literal["superpixels", "saliency_maps", "saliency_head"] = "superpixels"
    """What the ids of regions mean: the maps of the stage superpixels; or 1 the salient object, 0 what is around it, as
    the maps of the stage saliency or the model's own saliency head have it. Must be what `extract` described."""
    outside: Literal["background", "ignore"] = "background"
    """What becomes of pixels whose region has no cluster."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to for the saliency head, and the size of the labels then."""
    threshold: float = Field(0.5, gt=0, lt=1)
    """Saliency of the head from which on a pixel is the object's."""

    def plan(self, index: "ImageIndex", clusters: "Clusters") -> "LabelPlan":
        """The cluster of each pixel's region; see `MappedLabels.plan`."""
        from stages.pseudolabel.methods.region.method import plan

        return plan(self, index, clusters.assignments)
