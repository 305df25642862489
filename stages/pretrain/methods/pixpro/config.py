"""Parameters of PixPro."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import MomentumConfig, OptimizerConfig, TrainingConfig
from stages.pretrain.config import TrainedPretrainConfig, TwoViewConfig, byol_views

if TYPE_CHECKING:
    from stages.pretrain.methods.pixpro.method import PixPro


class PixProConfig(TrainedPretrainConfig):
    """PixPro. The defaults are the paper's on ImageNet, for 256 photographs a batch."""

    method: Literal["pixpro"] = "pixpro"
    views: TwoViewConfig = byol_views()
    """BYOL's. Section 3.1."""
    hidden: int = Field(4096, ge=1)
    """Width of the projector of pixels between its two layers. The authors' code: 4096."""
    projected: int = Field(256, ge=1)
    """D, size of a pixel's projection. The authors' code: 256."""
    near: float = Field(0.7, gt=0)
    """Distance below which pixels of two views are a pair, in diagonals of the larger cell. Section 3.1: 0.7."""
    sharpness: float = Field(2.0, gt=0)
    """Power of the cosine by which pixels take from each other. Section 3.2: 2."""
    momentum: MomentumConfig = MomentumConfig(value=0.99, schedule="cosine")
    """Of the key network. Section 4.1: from 0.99 to 1."""
    training: TrainingConfig = TrainingConfig(
        epochs=100,
        batch_size=1024,
        optimizer=OptimizerConfig(
            kind="lars", base_lr=1.0, final_lr=0.0, warmup_epochs=5, weight_decay=1e-5, decay_norm_and_bias=False
        ),
    )
    """Section 4.1: LARS, 1.0 for 256 photographs, weight decay 1e-5, 1024 photographs a batch, 100 epochs."""

    def build(self) -> "PixPro":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.pixpro.method import PixPro

        return PixPro(self)
