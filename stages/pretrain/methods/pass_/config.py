"""Parameters of PASS."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import ProjectionConfig
from stages.pretrain.config import MultiCropClusteringConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.pass_.method import PASS


Stage = Literal[1, 2, 3]
"""A stage of the backbone before its last one."""


class PASSConfig(MultiCropClusteringConfig):
    """The values are those of the script for ImageNet-S50; the recipe has those of the larger sets."""

    method: Literal["pass_"] = "pass_"
    projector: ProjectionConfig = ProjectionConfig(hidden=512, last_norm=True)
    """The image head. Script: hidden 512 (2048 with ResNet-50), 128, with a last batch norm."""
    pixel_hidden: int = Field(512, ge=1)
    """Width of the heads of pixels and of shallow stages. Script: as the image head's."""
    shallow: tuple[Stage, ...] = (3,)
    """Stages of the backbone that learn the codes of its last one; none switches this off. Script: 3."""
    shallow_weight: float = Field(1.0, gt=0)
    """Of each shallow stage, beside 1 for SwAV's loss; together they are a weighted mean. Script: 1."""
    pixel_to_pixel: float = Field(1.0, ge=0)
    """Weight of the aligned pixels; 0 for none. Script: 1."""

    def build(self) -> "PASS":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.pass_.method import PASS

        return PASS(self)
