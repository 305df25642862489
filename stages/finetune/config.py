"""The abstract configs of the stage `finetune`."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from stages.core.config.networks import FeatureMap
from stages.core.config.params import Params
from stages.core.config.segmenter import SegmenterCard, ThresholdConfig
from stages.core.config.training import TrainingConfig
from stages.core.config.views import ViewConfig

if TYPE_CHECKING:
    from stages.core.nets.features import FeatureNetwork
    from stages.finetune.training import SegmenterTraining


class FinetuneConfig(Params, ABC):
    """A method that makes a segmenter; its fields are the section `finetune` of params.yaml."""

    method: str
    """Names the way."""
    supervision: Literal["images", "labels"]
    """What is learnt from: pseudo-labels of photographs, or people's labels, which make a result not strict."""

    @abstractmethod
    def finetune(self) -> None:
        """Write the model `artifacts/finetune`: a segmenter that needs nothing else to run.

        Raises:
            UserError: The labels or the representation are not what the way wants, or training goes wrong.
        """

    @abstractmethod
    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """The segmenter's entry in model.json; `outputs` is the channels of its classifier."""

    @property
    def searched_threshold(self) -> ThresholdConfig | None:
        """Rule by which the background threshold is chosen after training; None where none is chosen."""
        return None


class TrainedFinetuneConfig(FinetuneConfig):
    """A method that trains on the label maps `artifacts/pseudolabel`, starting from `artifacts/pretrain`."""

    feature_map: FeatureMap | None = None
    """`decoder` or `stage4`, the backbone's last map; null for the one that the pretrained model was trained by."""
    views: ViewConfig
    """What is seen of a photograph."""
    training: TrainingConfig
    """How long and in what steps."""

    @abstractmethod
    def build(self, features: "FeatureNetwork", categories: int) -> "SegmenterTraining":
        """What is trained, on a pretrained network; the head's weights come from torch's generator.

        Args:
            features: The network.
            categories: Clusters, or classes where people's labels are learnt from; without the background.
        """

    @property
    def is_attended(self) -> bool:
        """Whether pixels are weighed by the pretrained model's attention, where it has one."""
        return False

    @property
    def training_rounds(self) -> int:
        """How often is trained; from the second time on, on what the segmenter of the time before has predicted."""
        return 1

    @property
    def further_inputs(self) -> dict[str, str]:
        """Content hashes of what is trained on beside label maps; where one is another, training starts anew."""
        return {}

    def finetune(self) -> None:
        """Train and write the segmenter; see `FinetuneConfig.finetune`."""
        from stages.finetune.rounds import finetune

        finetune(self)


class TrueMaskConfig(TrainedFinetuneConfig):
    """Tell the classes of pixels apart as people's masks do; background is the first class."""

    supervision: Literal["labels"] = "labels"
    """What is trained on: wants the pseudo-labels `masks`, which take a share of them."""
    short_side: int = Field(512, ge=8)
    """Side in pixels that photographs are resized to at inference. MaskContrast: 512 x 512, aspect not kept."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels, the first of the background."""
        return SegmenterCard(clusters=outputs - 1, short_side=self.short_side, score="softmax", background="class_0")
