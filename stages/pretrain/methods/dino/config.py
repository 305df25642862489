"""Parameters of DINO."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import BackboneConfig
from stages.core.config.params import Params
from stages.core.config.training import MomentumConfig, OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, PhotometricConfig
from stages.pretrain.config import PairedMultiCropConfig, TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.dino.method import DINO

_JITTER = (0.4, 0.4, 0.2, 0.1)


class DINOHeadConfig(Params):
    """From embeddings (B, L) to scores (B, P): three layers, unit vectors, a linear layer of unit rows."""

    hidden: int = Field(2048, ge=1)
    """Width of the first two layers. Appendix C: 2048."""
    bottleneck: int = Field(256, ge=1)
    """Size of the unit vectors. Appendix C: 256."""
    prototypes: int = Field(65536, ge=2)
    """P, scores. Appendix C: 65536."""
    batch_norm: bool = False
    """Batch norm behind the first two layers. The authors' code: no. With few photographs embeddings start out so alike
    that without it the loss stays at ln P."""
    norm_last_layer: bool = True
    """Keep the rows of the last layer at length 1. Steadier; the authors switch it off for ViT-S."""


class TeacherTemperatureConfig(Params):
    """How sharp the teacher is, over the training."""

    start: float = Field(0.04, gt=0)
    """Temperature of the softmax at first. Section 3.2: 0.04."""
    final: float = Field(0.07, gt=0)
    """After the warm-up. Published weights of ViT-S: 0.07; 0.04 where training is not steady."""
    warmup_epochs: int = Field(30, ge=0)
    """Epochs of linear warm-up. Published weights: 30."""

    def at(self, epoch: int) -> float:
        """The temperature of an epoch, counted from 0; the last one of the warm-up has the final one."""
        share = min(epoch / max(self.warmup_epochs - 1, 1), 1) if self.warmup_epochs else 1.0
        return self.start + (self.final - self.start) * share


class DINOConfig(TrainedPretrainConfig):
    """DINO. The defaults are those of the published ViT-S/16, for 256 photographs a batch."""

    method: Literal["dino"] = "dino"
    backbone: BackboneConfig = BackboneConfig(name="vit_small_patch16_224", drop_path=0.1)
    """The student's; the teacher drops no path. Class tokens are learnt from, or the mean of a network without one."""
    views: PairedMultiCropConfig = MultiCropConfig(
        crops=(
            CropConfig(
                count=1,
                size=224,
                scale=(0.25, 1.0),
                photometric=PhotometricConfig(jitter=_JITTER, blur_probability=1.0),
            ),
            CropConfig(
                count=1,
                size=224,
                scale=(0.25, 1.0),
                photometric=PhotometricConfig(jitter=_JITTER, blur_probability=0.1, solarize_probability=0.2),
            ),
            CropConfig(count=10, size=96, scale=(0.05, 0.25)),
        ),
        photometric=PhotometricConfig(jitter=_JITTER),
    )
    """The teacher sees the first two, the student all. Published weights: 2 x 224 + 10 x 96, blurred always, seldom and
    half of the time, the second one solarized (as BYOL)."""
    head: DINOHeadConfig = DINOHeadConfig()
    temperature: float = Field(0.1, gt=0)
    """Of the student's softmax. Section 3.2: 0.1."""
    teacher_temperature: TeacherTemperatureConfig = TeacherTemperatureConfig()
    center_momentum: float = Field(0.9, ge=0, lt=1)
    """Share of the teacher's mean score that an update keeps. Appendix D: 0.9."""
    momentum: MomentumConfig = MomentumConfig(value=0.996, schedule="cosine")
    """Of the teacher. Section 3.2: from 0.996 to 1."""
    freeze_last_layer: int = Field(1, ge=0)
    """Epochs in which the head's last layer stays as it is. Published weights: 1."""
    training: TrainingConfig = TrainingConfig(
        epochs=800,
        optimizer=OptimizerConfig(
            kind="adamw",
            base_lr=0.0005,
            final_lr=0.00001,
            warmup_epochs=10,
            weight_decay=0.04,
            final_weight_decay=0.4,
            decay_norm_and_bias=False,
            clip_norm=3.0,
            clip_each=True,
        ),
    )
    """Section 3.2: AdamW, 0.0005 for 256 photographs, 10 epochs of warm-up, weight decay from 0.04 to 0.4; published
    ViT-S: 800 epochs, final rate 1e-5, gradients clipped at 3."""

    def build(self) -> "DINO":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.dino.method import DINO

        return DINO(self)
