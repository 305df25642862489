"""The abstract configs of the stage `pretrain`."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from stages.core.config.codes import CodesConfig
from stages.core.config.networks import BackboneConfig, ProjectionConfig
from stages.core.config.params import Params
from stages.core.config.training import TrainingConfig
from stages.core.config.views import CropConfig, MultiCropConfig, ViewConfig
from stages.core.config.weights import WeightsFile

if TYPE_CHECKING:
    from stages.core.engine.method import TrainingMethod


class PretrainConfig(Params, ABC):
    """A method that gives a representation; its fields are the section `pretrain` of params.yaml."""

    method: str
    """Names the way."""

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
