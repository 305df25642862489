"""Parameters of maps by gradients of a transformer's attention."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from stages.pseudolabel.config import PseudolabelConfig

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments
    from stages.core.artifacts.image_index import ImageIndex


class ViTGradCAMConfig(PseudolabelConfig):
    """The class token's attention, and above it what would bring the token closer to each centroid.

    Writes class maps beside the label maps, which hold the highest class of each patch.
    """

    method: Literal["vit_gradcam"] = "vit_gradcam"
    supervision: Literal["images"] = "images"
    """What the labels come from; this method knows photographs only."""
    size: tuple[int, int] = (320, 320)
    """Height and width in pixels that photographs are squashed to, rounded to whole patches; a map has one value for
    each patch. TransFGU's code: 320 x 320; Cityscapes 320 x 640."""
    gradient_batch: int = Field(8, ge=1)
    """What gradients are divided by before they are added to the attention, however many photographs are computed at
    once. TransFGU's code, whose loss is the mean of a batch: 8; Cityscapes and LIP 2."""
    mass: float = Field(0.8, gt=0, le=1)
    """Of a class, the largest gradients that make up this share of all count, the others are 0. TransFGU's code: 0.8;
    its equation 7 has no such step."""
    background: float = Field(0.0, ge=0)
    """Where no class comes above half of this, the label is background. TransFGU, equation 8: 0.1 where only objects
    are segmented; 0 for no background. The class maps hold classes only, whatever stands here."""
    groups_apart: bool = False
    """Whether classes of objects count on the foreground only, and those of surroundings around it only. TransFGU,
    section 4.2, of windows; its code does not do it here. Needs centroids of `cluster.groups`."""

    @model_validator(mode="after")
    def _is_large_enough(self) -> "ViTGradCAMConfig":
        if min(self.size) < 8:
            raise ValueError("size: must be 8 pixels or more")
        return self

    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Write class maps and label maps of what was clustered; see `PseudolabelConfig.write_labels`."""
        from stages.pseudolabel.methods.vit_gradcam.method import write

        write(self, index, assignments)
