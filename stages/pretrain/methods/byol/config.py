"""Parameters of BYOL."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.training import MomentumConfig, OptimizerConfig, TrainingConfig
from stages.pretrain.config import TrainedPretrainConfig, TwoViewConfig, byol_views

if TYPE_CHECKING:
    from stages.pretrain.methods.byol.method import BYOL


class BYOLConfig(TrainedPretrainConfig):
    """BYOL. The defaults are the paper's on ImageNet, for 256 photographs a batch."""

    method: Literal["byol"] = "byol"
    views: TwoViewConfig = byol_views()
    """Both networks see both. Appendix B; resized bilinearly here, bicubically there."""
    hidden: int = Field(4096, ge=1)
    """Width of projector and predictor between their two layers. Section 3.3: 4096."""
    projected: int = Field(256, ge=1)
    """D, size of projections and predictions. Section 3.3: 256."""
    last_norm: bool = False
    """Batch norm without affine parameters behind the projector. BYOL: no. Without it the projections of an untrained
    network point half into one direction, and a few hundred steps teach the predictor that direction alone."""
    momentum: MomentumConfig = MomentumConfig(value=0.996, schedule="cosine")
    """Of the target network. Section 3.3: from 0.996 to 1."""
    training: TrainingConfig = TrainingConfig(
        epochs=200,
        optimizer=OptimizerConfig(
            kind="lars", base_lr=0.2, final_lr=0.0, warmup_epochs=10, weight_decay=1.5e-6, decay_norm_and_bias=False
        ),
    )
    """Section 3.3: LARS, 0.2 for 256 photographs, weight decay 1.5e-6, 10 epochs of warm-up; its 1000 epochs are 200
    here, as for the other methods."""

    def build(self) -> "BYOL":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.byol.method import BYOL

        return BYOL(self)
