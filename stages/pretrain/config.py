"""The abstract configs of the stage `pretrain`."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from stages.core.config.codes import CodesConfig
from stages.core.config.networks import BackboneConfig, ProjectionConfig
from stages.core.config.params import Params
from stages.core.config.training import MomentumConfig, OptimizerConfig, TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, PhotometricConfig, ViewConfig
from stages.core.config.weights import WeightsFile

if TYPE_CHECKING:
    from stages.core.engine.method import TrainingMethod


class PretrainConfig(Params, ABC):
    """A method that gives a representation; its fields are the section `pretrain` of params.yaml."""

    method: str
    """Names the way."""
    supervision: Literal["images"] = "images"
    """What is learnt from: photographs alone. `classifier` alone says `labels`, which makes a result not strict."""

    @abstractmethod
    def pretrain(self) -> None:
        """Write the model `artifacts/pretrain`: a backbone, with whatever parts were trained with it.

        Reads the train split of `artifacts/index/images`, and the label maps that the way wants.

        Raises:
            UserError: There is nothing to learn from, weights do not fit, or training goes wrong.
        """


class TrainedPretrainConfig(PretrainConfig):
    """A method that trains."""

    backbone: BackboneConfig = BackboneConfig()
    weights: WeightsFile | None = None
    """Weights of the backbone to start from; null for random ones."""
    views: ViewConfig
    """What is seen of a photograph."""
    training: TrainingConfig
    """How long and in what steps."""

    @abstractmethod
    def build(self) -> "TrainingMethod":
        """What is trained, with fresh weights from torch's generator."""

    def pretrain(self) -> None:
        """Train on the train split and write what was trained; see `PretrainConfig.pretrain`."""
        from stages.pretrain.training import pretrain

        pretrain(self)


def _check_two_large_views(views: MultiCropConfig) -> MultiCropConfig:
    if len(set(views.sizes[:2])) != 1 or len(views.sizes) < 2:
        raise ValueError(
            "the first two views must be of one size: two in the first group, or one in each of two groups"
        )
    return views


PairedMultiCropConfig = Annotated[MultiCropConfig, AfterValidator(_check_two_large_views)]
"""Views of which the first two are large and of one size: those that get codes, or that the teacher sees."""


def _check_two_views(views: MultiCropConfig) -> MultiCropConfig:
    if len(views.sizes) != 2 or len(set(views.sizes)) != 1:
        raise ValueError("there are two views of one size: one group of two crops, or two groups of one")
    return views


TwoViewConfig = Annotated[MultiCropConfig, AfterValidator(_check_two_views)]
"""Two views of one size."""


def byol_views(smallest: float = 0.08) -> MultiCropConfig:
    """BYOL's two views, of at least a share of the photograph's area: other blur for each, the second solarized.

    Source: BYOL, appendix B.
    """
    jitter = (0.4, 0.4, 0.2, 0.1)
    first = PhotometricConfig(jitter=jitter, blur_probability=1.0)
    second = PhotometricConfig(jitter=jitter, blur_probability=0.1, solarize_probability=0.2)
    crops = tuple(
        CropConfig(count=1, size=224, scale=(smallest, 1.0), photometric=photometric) for photometric in (first, second)
    )
    return MultiCropConfig(crops=crops, photometric=PhotometricConfig(jitter=jitter))


class MultiCropClusteringConfig(CodesConfig, TrainedPretrainConfig):
    """Parameters of SwAV and of the methods that build on it.

    Swapped prediction from multi-crop views. The defaults are SwAV's, for 256 photographs a batch.
    """

    views: PairedMultiCropConfig = MultiCropConfig(
        crops=(CropConfig(count=2, size=224, scale=(0.14, 1.0)), CropConfig(count=6, size=96, scale=(0.05, 0.14)))
    )
    """The first two get codes, and whatever a method asks of whole objects; the small ones only predict. Section 4.1:
    2 x 224 + 6 x 96."""
    projector: ProjectionConfig = ProjectionConfig()
    """The image head."""
    training: TrainingConfig = TrainingConfig(epochs=200)


class MomentumContrastConfig(TrainedPretrainConfig):
    """Parameters of MoCo v2 and of what builds on it. The defaults are the paper's on ImageNet, at 256 photographs a
    batch.
    """

    views: TwoViewConfig = MultiCropConfig(
        crops=(CropConfig(count=2, size=224, scale=(0.2, 1.0)),),
        photometric=PhotometricConfig(jitter=(0.4, 0.4, 0.4, 0.1)),
    )
    """The query and the key."""
    hidden: int = Field(2048, ge=1)
    """Width of the head between its two layers, without batch norm. MoCo v2, section 2: 2048."""
    projected: int = Field(128, ge=1)
    """D, size of queries and keys. MoCo, section 3.3: 128."""
    temperature: float = Field(0.2, gt=0)
    """Of the softmax. MoCo v2, table 1: 0.2."""
    negatives: int = Field(65536, ge=1)
    """Keys of earlier batches that a query is told from, in a queue. MoCo, section 4.1: 65536; PCL: 16384."""
    momentum: MomentumConfig = MomentumConfig()
    """Of the key network. MoCo, section 4.1: 0.999."""
    shuffle_groups: int = Field(2, ge=1)
    """Parts that a GPU's shuffled keys pass in, each with batch statistics of its own, as on that many GPUs: a query
    must not find its key by the statistics that they share. Two, so that one GPU shuffles too."""
    training: TrainingConfig = TrainingConfig(
        epochs=200, optimizer=OptimizerConfig(kind="sgd", base_lr=0.03, final_lr=0.0, weight_decay=1e-4)
    )
    """MoCo v2, section 3: SGD, 0.03 for 256 photographs along a cosine, weight decay 1e-4, 200 epochs."""

    @model_validator(mode="after")
    def _groups_fit(self) -> "MomentumContrastConfig":
        if self.training.batch_size < 2 * self.shuffle_groups:
            raise ValueError("shuffle_groups: each group needs two photographs; enlarge training.batch_size")
        return self
