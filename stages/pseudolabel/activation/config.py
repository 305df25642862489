"""Parameters that all ways from tags to pixels share: what is trained on, how maps are made, and labels of them."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.core.config.crf import CRFConfig
from stages.core.config.params import Params
from stages.core.config.training import TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, ShareCropConfig
from stages.pseudolabel.config import PseudolabelConfig

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments
    from stages.core.artifacts.image_index import ImageIndex
    from stages.core.nets.features import FeatureNetwork
    from stages.pseudolabel.activation.tags import Tags
    from stages.pseudolabel.activation.training import TagTraining

WEAKLY_SUPERVISED_CRF = CRFConfig(near=3.0, near_weight=3.0, alike=80.0, alike_color=13.0, alike_weight=10.0)
"""RCA, SEAM, SC-CAM."""


class AscentConfig(Params):
    """Steps by which a photograph is changed so that more of a category is seen in it, with AdvCAM's values."""

    steps: int = Field(27, ge=1)
    """At every size but the small ones. Section 4.1: 27."""
    small_steps: int = Field(13, ge=1)
    """At sizes of at most half of the photograph's own. AdvCAM's code: 13 at 0.5."""
    step: float = Field(0.08, gt=0)
    """Most that a step changes a pixel, in normalized values. Section 4.1: 0.08."""
    restraint: float = Field(7.0, ge=0)
    """lambda, weight of what has changed where the map was strong. Section 4.1: 7."""
    strong: float = Field(0.5, ge=0, le=1)
    """tau, share of a map's maximum above which a place is strong from then on. Section 4.1: 0.5."""


class MapConfig(Params):
    """How class activation maps are made of a photograph."""

    max_side: int = Field(500, ge=8)
    """Longer side in pixels that larger photographs are shrunk to; also the labels' size. Pascal VOC: 500."""
    scales: tuple[float, ...] = Field((1.0,), min_length=1)
    """Sizes at which a photograph is seen, in multiples of its own; maps are added. SEAM, AdvCAM: 0.5, 1, 1.5, 2."""
    flip: bool = False
    """Whether it is seen mirrored too. SEAM, AdvCAM: yes."""
    ascent: AscentConfig | None = None
    """Add the maps of a photograph that is changed step by step so that more of each category is seen in it (AdvCAM);
    null: not. It takes as many passes and gradients as there are steps, for every category of a photograph."""

    @model_validator(mode="after")
    def _has_positive_scales(self) -> "MapConfig":
        if min(self.scales) <= 0:
            raise ValueError("scales are positive")
        return self


class LabelRules(Params):
    """How maps become labels: what is background, and what is too uncertain to be learnt from. Source: RCA's code."""

    background: Literal["saliency", "threshold", "power"] = "saliency"
    """How strong the background is at a pixel: 1 - saliency (RCA); a constant (SEAM); or (1 - strongest map)^alpha."""
    threshold: float | Literal["otsu"] = "otsu"
    """Of `threshold`; `otsu` splits the strongest maps' values over training photographs in two, without labels."""
    alpha: float = Field(4.0, gt=0)
    """Power of `power`, which is the background in the CRF of `saliency` too. RCA's code: 4."""
    clash: float = Field(0.9, gt=0, le=1)
    """A pixel at which two of background and categories are stronger than this is ignored. RCA's code: 0.9."""
    salient: float = Field(0.125, ge=0)
    """A pixel of the background of `saliency` that is this salient is ignored. RCA's code: 32 of 255."""
    attended: float = Field(0.8, ge=0)
    """So is one at which a category is stronger than this. RCA's code: 0.8."""
    min_foreground: float = Field(0.01, ge=0, lt=1)
    """A photograph of which less than this share is foreground is ignored as a whole. RCA's code: 0.01."""
    photographs: int = Field(256, ge=1)
    """Drawn at random by a fixed seed, whose maps `otsu` sees."""

    @model_validator(mode="after")
    def _has_share_as_threshold(self) -> "LabelRules":
        if self.threshold != "otsu" and not 0 <= float(self.threshold) <= 1:
            raise ValueError("threshold lies in 0..1, or is otsu")
        return self


class TagConfig(PseudolabelConfig):
    """A method that trains a classifier on tags, and labels pixels by its class activation maps."""

    supervision: Literal["images", "labels"] = "images"
    """Where tags come from: `images`, the clusters of `artifacts/cluster`; `labels`, the true classes of photographs
    (the ids in a mask, or the class's folder), whose result is not strict."""
    output_stride: Literal[8, 16, 32] | None = None
    """Of the backbone's last map while it classifies; null for what it was pretrained at."""
    views: MultiCropConfig | ShareCropConfig = MultiCropConfig(
        crops=(CropConfig(count=1, size=368, scale=(0.25, 1.0)),), photometric=None
    )
    """What is seen of a photograph: by default a part of it. RCA's code: all of it at 368 x 368, its shape lost; that
    is {size: 368, shares: [1.0], flip: 0.0}."""
    training: TrainingConfig
    """How long and in what steps."""
    maps: MapConfig = MapConfig()
    labels: LabelRules = LabelRules()
    crf: CRFConfig | None = WEAKLY_SUPERVISED_CRF
    """Let maps follow the photographs' edges by a dense CRF before labels are made; null: not."""

    @property
    def uses_saliency(self) -> bool:
        """Whether labels or the training need the maps of the stage saliency."""
        return self.labels.background == "saliency"

    @property
    def training_rounds(self) -> int:
        """How often is trained, each time from the pretrained network and on groups that the time before tells."""
        return 1

    @abstractmethod
    def build(self, features: "FeatureNetwork", tags: "Tags") -> "TagTraining":
        """What is trained, on a pretrained network; new weights come from torch's generator."""

    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Train on the tags of the train split and label it; see `PseudolabelConfig.write_labels`."""
        from stages.pseudolabel.activation.running import read_tags, train_and_label

        train_and_label(self, read_tags(self, index, assignments))
