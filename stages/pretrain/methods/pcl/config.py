"""Parameters of PCL."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from stages.core.config.views import CenterViewConfig
from stages.pretrain.config import MomentumContrastConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.pcl.method import PCL


class PCLConfig(MomentumContrastConfig):
    """PCL v2. The defaults are the authors' on ImageNet, at 256 photographs a batch."""

    method: Literal["pcl"] = "pcl"
    negatives: int = Field(16384, ge=1)
    """Keys of the queue, and centroids that the own one is told from (all where there are no more). Authors: 16384."""
    surveyed: CenterViewConfig = CenterViewConfig()
    """What photographs are clustered by."""
    clusters: tuple[Annotated[int, Field(ge=2)], ...] = Field((25000, 50000, 100000), min_length=1)
    """K of each clustering. Section 4: 25000, 50000 and 100000."""
    warmup_epochs: int = Field(20, ge=0)
    """Epochs that learn from keys alone. Section 4: 20."""
    concentration: float = Field(10.0, gt=0)
    """Alpha, that keeps small clusters from being too sharp. Section 3.3: 10."""

    def build(self) -> "PCL":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.pcl.method import PCL

        return PCL(self)
