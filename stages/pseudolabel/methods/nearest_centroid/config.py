"""Parameters of labels by attention and centroids."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.core.config.params import Params
from stages.pseudolabel.config import MappedLabels

if TYPE_CHECKING:
    from stages.core.artifacts.categories import Clusters
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.label_mapping import LabelPlan


class ForegroundConfig(Params):
    """A share of the full attention."""

    rule: Literal["otsu", "fixed", "validation"] = "otsu"
    """`otsu` splits the histogram of training photographs in two, without any label; `fixed` takes `value`;
    `validation` takes what gives the highest mIoU on the validation masks, as the authors do: it needs
    `supervision: labels`, and the result is no longer strict."""
    value: float = Field(0.41, ge=0, le=1)
    """Used by `fixed`. PASS chose on validation masks: 0.41 for 50 categories, 0.40 for 300, 0.37 for 919."""
    photographs: int = Field(256, ge=1)
    """Training photographs, drawn at random by a fixed seed, whose attention `otsu` sees."""


class NearestCentroidConfig(MappedLabels):
    """Labels of pixels by attention and centroids."""

    method: Literal["nearest_centroid"] = "nearest_centroid"
    supervision: Literal["images", "labels"] = "images"
    """`labels` where the foreground's threshold is chosen on the validation masks."""
    resize: int = Field(256, ge=8)
    """Shorter side in pixels at which photographs are labelled; also the labels' size. PASS: 256."""
    category: Literal["pixel", "image"] = "pixel"
    """A foreground pixel's category: its own nearest centroid (PASS), or the cluster of the photograph as a whole, for
    pixels that cannot be told apart each by itself."""
    foreground: ForegroundConfig = ForegroundConfig()
    """Where foreground begins."""

    @model_validator(mode="after")
    def _says_where_labels_are_used(self) -> "NearestCentroidConfig":
        if (self.foreground.rule == "validation") != (self.supervision == "labels"):
            raise ValueError("foreground.rule: validation and supervision: labels belong together: set both or neither")
        return self

    def plan(self, index: "ImageIndex", clusters: "Clusters") -> "LabelPlan":
        """The maps of all photographs that were clustered; see `MappedLabels.plan`."""
        from stages.pseudolabel.methods.nearest_centroid.method import plan

        return plan(self, index, clusters)
