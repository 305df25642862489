"""Parameters of SwAV."""

from typing import TYPE_CHECKING, Literal

from stages.pretrain.config import MultiCropClusteringConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.swav.method import SwAV


class SwAVConfig(MultiCropClusteringConfig):
    """SwAV. The defaults are the paper's, for 256 photographs a batch."""

    method: Literal["swav"] = "swav"

    def build(self) -> "SwAV":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.swav.method import SwAV

        return SwAV(self)
