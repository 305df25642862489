"""Parameters of MaskContrast."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, field_validator, model_validator

from stages.core.config.networks import BackboneConfig, DecoderConfig, DeepLabV3Config
from stages.core.config.training import MomentumConfig, OptimizerConfig, TrainingConfig
from stages.core.config.views import CoverageConfig, CropConfig, MultiCropConfig, PhotometricConfig
from stages.core.config.weights import WeightsFile
from stages.pretrain.config import TrainedPretrainConfig

if TYPE_CHECKING:
    from stages.pretrain.methods.maskcontrast.method import MaskContrast


class MaskContrastConfig(TrainedPretrainConfig):
    """MaskContrast. The defaults are those of the code's runs with unsupervised masks.

    The paper's text says 60 epochs, batches of 64 (base_lr 0.016), a queue of 128, a share of 0.1 and no class weights.
    """

    method: Literal["maskcontrast"] = "maskcontrast"
    backbone: BackboneConfig = BackboneConfig(name="resnet50", output_stride=8)
    decoder: DecoderConfig = DeepLabV3Config()
    weights: WeightsFile | None = None
    """Weights that the backbone starts from; null for random ones. The paper: MoCo v2 on ImageNet."""
    frozen: tuple[str, ...] = ()
    """Parts of the backbone that stay as they start, by timm's names. The code's runs with supervised masks: conv1,
    bn1, layer1, layer2."""
    views: MultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=2, size=224, scale=(0.2, 1.0)),),
        photometric=PhotometricConfig(jitter=(0.4, 0.4, 0.4, 0.1), blur_probability=0.0),
    )
    """The query and the key; with one view it is both. Section 4.1 and the code: SimCLR's changes without blur."""
    coverage: CoverageConfig = CoverageConfig()
    """How much of each view the object covers."""
    min_mask: float = Field(0.01, gt=0, lt=1)
    """Photographs whose mask is smaller, as a share of their area, are left out. The code: 0.01."""
    embedding_size: int = Field(32, ge=2)
    """D. Section 4.1: 32."""
    temperature: float = Field(0.5, gt=0)
    """Of the softmax, section 4.1: 0.5."""
    queue: int = Field(256, ge=0)
    """K, objects of earlier batches that pixels are contrasted with; 0 for none. The code: 256; paper: 128."""
    class_weights: bool = True
    """Weigh the pixels of an object by 1 / ln(1.02 + its share of the pixels), as the code does; the paper does not."""
    momentum: MomentumConfig = MomentumConfig(value=0.999)
    """How slowly the key network follows; a value of 0 makes it the trained network. The code: 0.999, fixed."""
    shuffle_groups: int = Field(2, ge=1)
    """Parts that a GPU's shuffled keys are put through the key network in, each with batch statistics of its own, as on
    that many GPUs: a pixel must not find its object by the statistics they share. Two, so that one GPU shuffles too."""
    training: TrainingConfig = TrainingConfig(
        epochs=40,
        batch_size=128,
        optimizer=OptimizerConfig(
            kind="sgd", base_lr=0.008, final_lr=0.0, schedule="poly", lr_step="epoch", weight_decay=1e-4
        ),
    )

    @field_validator("views")
    @classmethod
    def _has_query_and_key(cls, views: MultiCropConfig) -> MultiCropConfig:
        if len(views.sizes) > 2:
            raise ValueError("there are a query and a key: one group of one or two crops")
        return views

    @model_validator(mode="after")
    def _groups_fit(self) -> "MaskContrastConfig":
        if self.training.batch_size < 2 * self.shuffle_groups:
            raise ValueError("shuffle_groups: each group needs two photographs; enlarge training.batch_size")
        return self

    def build(self) -> "MaskContrast":
        """What is trained, with fresh weights from torch's generator."""
        from stages.pretrain.methods.maskcontrast.method import MaskContrast

        return MaskContrast(self)
