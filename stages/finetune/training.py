"""What the trainings of segmenters have in common, and how a segmenter is put together and written."""

from abc import abstractmethod
from pathlib import Path

from stages.core.artifacts.image_index import ImageIndex
from stages.core.artifacts.label_maps import LabelMaps
from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device
from stages.core.engine.history import Row
from stages.core.engine.method import TrainingMethod
from stages.core.images.dataset import TravellingMaps
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmentation_heads import SegmentationHead
from stages.core.nets.segmenter import Segmenter
from stages.finetune.config import FinetuneConfig
from stages.finetune.threshold import find_threshold


class SegmenterTraining(TrainingMethod):
    """A training method whose result is a segmenter: a feature network and a head that classifies its pixels."""

    features: FeatureNetwork
    labels: LabelMaps | None = None
    """Trained on in place of `artifacts/pseudolabel`."""

    def open_maps(self) -> dict[str, TravellingMaps]:
        """See `TrainingMethod.open_maps`."""
        return {"pseudolabel": self.labels} if self.labels is not None else super().open_maps()

    @property
    @abstractmethod
    def classifier(self) -> SegmentationHead:
        """The classifier as it stands at inference."""


def assemble_segmenter(
    config: FinetuneConfig,
    features: FeatureNetwork,
    head: SegmentationHead,
    expects: InputCard,
    saliency: PixelClassifier | None = None,
) -> Segmenter:
    """A segmenter of these parts on the device for inference."""
    card = config.segmenter_card(head.card.clusters)
    return Segmenter(features, head, card, expects, saliency).to(inference_device()).eval()


def set_threshold(config: FinetuneConfig, segmenter: Segmenter, index: ImageIndex) -> None:
    """Find the threshold of the background by the scores of photographs, where it is searched."""
    if config.searched_threshold:
        found = find_threshold(config.searched_threshold, segmenter, index)
        segmenter.card = segmenter.card.model_copy(update={"threshold": found})


def write_segmenter(
    config: FinetuneConfig, origin: ModelCard, segmenter: Segmenter, history: list[Row], root: Path = ARTIFACTS
) -> None:
    """Write the model `artifacts/finetune`.

    Args:
        config: Of the method.
        origin: Card of the model that the segmenter's features come from.
        segmenter: What is written.
        history: Rows of history.csv.
        root: Directory of artifacts.
    """
    card = ModelCard(
        method=config.method,
        parts=describe_parts(segmenter.parts),
        feature_map=segmenter.features.feature_map,
        output_stride=origin.output_stride,
        embedding_size=segmenter.features.size,
        input=segmenter.expects,
        start=origin.start,
        labels_used=origin.labels_used or config.supervision == "labels",
        params=config.model_dump(mode="json"),
        segmenter=segmenter.card,
    )
    write_model("finetune", segmenter.parts, card, history, root)
