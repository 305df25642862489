"""Parameters of MoCo v2."""

from typing import TYPE_CHECKING, Literal

from stages.pretrain.config import MomentumContrastConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.moco_v2.method import MoCo


class MoCoConfig(MomentumContrastConfig):
    """MoCo v2. The defaults are the paper's on ImageNet, at 256 photographs a batch."""

    method: Literal["moco_v2"] = "moco_v2"

    def build(self) -> "MoCo":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.moco_v2.method import MoCo

        return MoCo(self)
