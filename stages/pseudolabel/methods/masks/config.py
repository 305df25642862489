"""Parameters of true masks as labels."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.pseudolabel.config import PseudolabelConfig

if TYPE_CHECKING:
    from stages.core.artifacts.clusters import Assignments
    from stages.core.artifacts.image_index import ImageIndex


class TrueMaskLabelConfig(PseudolabelConfig):
    """True masks as labels; a result that rests on them counts as supervised."""

    method: Literal["masks"] = "masks"
    supervision: Literal["labels"] = "labels"
    """What the labels come from: the data set's masks of its train split."""
    share: float = Field(1.0, gt=0, le=1)
    """Of the training photographs with a mask, drawn by the seed. MaskContrast: 0.01, 0.02, 0.05, 0.125 and 1."""
    seed: int = Field(0, ge=0)
    """Of the draw. MaskContrast: the mean of three."""
    ignore_id: int = Field(1000, ge=-1, le=65535)
    """Id in the masks of pixels that do not count; -1 for none."""

    def write_labels(self, index: "ImageIndex", assignments: "Assignments") -> None:
        """Write the masks of the drawn photographs; see `PseudolabelConfig.write_labels`."""
        from stages.core.artifacts.label_maps import write_label_maps
        from stages.pseudolabel.methods.masks.method import label

        write_label_maps("pseudolabel", self.method, label(self, index))
