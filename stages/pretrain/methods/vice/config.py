"""Parameters of ViCE."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.codes import CodesConfig
from stages.core.config.networks import BackboneConfig, DecoderConfig, FPNConfig
from stages.core.config.params import Params
from stages.core.config.training import OptimizerConfig, TrainingConfig
from stages.core.config.views import SectorViewConfig
from stages.core.config.weights import WeightsFile
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.vice.method import VICE


class MaskingConfig(Params):
    """Contextual masking: one rectangle a view, whose regions are replaced by noise.

    Source: ViCE, section 3.2; the distributions from its code, the rectangle in the view's own frame.
    """

    side: float = Field(0.25, gt=0, le=1)
    """The rectangle's longest side as a share of the view's. ViCE's code: 0.25."""
    spared: float = Field(0.25, ge=0, le=1)
    """Share of the common regions that is never hidden. ViCE's code: 0.25."""


class VICEConfig(CodesConfig, TrainedPretrainConfig):
    """ViCE. The defaults are the paper's for Cityscapes at low resolution."""

    method: Literal["vice"] = "vice"
    backbone: BackboneConfig = BackboneConfig(name="resnet18", output_stride=8, dilated_first_blocks=True)
    """Section 4: stride 8; its code dilates all blocks of a stage."""
    decoder: DecoderConfig = FPNConfig()
    """`fpn` at low, `deeplabv3plus` (form: vice, rates 12, 24, 36, embedding 128) at high resolution. Section 4."""
    weights: WeightsFile | None = None
    """Weights that the backbone starts from; null for random ones. The paper: ImageNet's, learnt with labels."""
    views: SectorViewConfig = SectorViewConfig()
    """The first view gives the codes, the others predict them."""
    regions: Literal["superpixels", "pixels"] = "superpixels"
    """Maps of the stage superpixels (`grid` there for a grid), or every pixel by itself, for the ablation."""
    masking: MaskingConfig | None = MaskingConfig()
    """Contextual masking, section 3.2; null for none."""
    prototypes: int = Field(128, ge=2)
    """P. Section 4: 128."""
    temperature: float = Field(0.1, gt=0)
    """Of the softmax, equation 3. SwAV's: 0.1."""
    epsilon: float = Field(0.05, gt=0)
    """Smoothness of the codes. SwAV's: 0.05."""
    queue: int = Field(5000, ge=0)
    """Regions of earlier batches that help to assign codes. Section 4: 5000 per GPU. They are stored as vectors and
    scored anew at every step; the places that are still empty take no part."""
    queue_start_epoch: int = Field(0, ge=0)
    """Epoch from which the queue fills and is used. The code counts iterations alone."""
    queue_start_iteration: int = Field(313, ge=0)
    """Iteration from which it does, where that is later. The code: 313."""
    freeze_prototypes: int = Field(313, ge=0)
    """Iterations before the prototypes learn. The code: 313."""
    vector: Literal["mean", "max"] = "mean"
    """What stands for a region: the mean of its pixels (the paper), or the pixel with the highest score, to which the
    others are drawn by a second loss of equal weight (the released files for high resolution). That one is no part of
    their distances' gradient, and each photograph weighs the same in them."""
    average: Literal["photographs", "regions"] = "photographs"
    """Whether each photograph weighs the same (equation 3) or each region (the code)."""
    training: TrainingConfig = TrainingConfig(
        epochs=24,
        batch_size=128,
        norm_group=16,
        optimizer=OptimizerConfig(base_lr=0.64, final_lr=0.00064, warmup_epochs=0.48),
    )
    """Section 4: 24 epochs, 128 photographs, LARS up to 0.32 after 2 % of the iterations. Its code: batch norm over
    four GPUs of four photographs."""

    def build(self) -> "VICE":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.vice.method import VICE

        return VICE(self)
