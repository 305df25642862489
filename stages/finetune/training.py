"""Trains a segmenter on label maps and writes the model artifact."""

from abc import abstractmethod

from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.image_index import ImageIndex, read_images, read_labels
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import describe_parts, model_hash, read_model, write_model
from stages.core.config.views import InputCard
from stages.core.engine.devices import inference_device, seed_everything
from stages.core.engine.history import Row
from stages.core.engine.loop import train
from stages.core.engine.method import TrainingMethod
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmenter import Segmenter
from stages.core.resume import resumable_work
from stages.finetune.config import FinetuneConfig, TrainedFinetuneConfig
from stages.finetune.threshold import find_threshold


class SegmenterTraining(TrainingMethod):
    """A training method whose result is a segmenter: a feature network and a 1x1 classifier."""

    features: FeatureNetwork

    @property
    @abstractmethod
    def classifier(self) -> PixelClassifier:
        """The classifier as it stands at inference."""


def finetune(config: TrainedFinetuneConfig) -> None:
    """Train on the label maps `artifacts/pseudolabel` and write the model `artifacts/finetune`.

    Raises:
        UserError: The labels or the representation are not what the method wants, or training goes wrong.
    """
    labels = open_label_maps("pseudolabel")
    index = read_images().with_ids(labels.image_ids)
    pretrained, states = read_model("pretrain", ["backbone"])
    seed_everything(config.training.seed)
    features = restore_features(pretrained, states, config.feature_map, config.is_attended)
    method = config.build(features, _count_categories(config))
    inputs = {"images": index.content_hash, "pseudolabel": labels.content_hash, "pretrain": model_hash("pretrain")}
    with resumable_work("finetune", config, inputs) as work:
        history = train(method, config.training, index, "finetune", work)
        segmenter = assemble_segmenter(config, method.features, method.classifier, config.views.input_card)
        write_segmenter(config, pretrained, segmenter, index, history)


def _count_categories(config: TrainedFinetuneConfig) -> int:
    """Classes where masks are trained on, clusters otherwise."""
    return max(read_labels().classes) if config.supervision == "labels" else len(read_centroids().embeddings)


def assemble_segmenter(
    config: FinetuneConfig,
    features: FeatureNetwork,
    head: PixelClassifier,
    expects: InputCard,
    saliency: PixelClassifier | None = None,
) -> Segmenter:
    """A segmenter of these parts on the device for inference."""
    card = config.segmenter_card(head.conv.out_channels)
    return Segmenter(features, head, card, expects, saliency).to(inference_device()).eval()


def write_segmenter(
    config: FinetuneConfig, origin: ModelCard, segmenter: Segmenter, index: ImageIndex, history: list[Row]
) -> None:
    """Find the threshold of the background where it is searched, and write the model `artifacts/finetune`.

    Args:
        config: Of the method.
        origin: Card of the model that the segmenter's features come from.
        segmenter: What is written.
        index: Photographs whose scores the threshold is found by.
        history: Rows of history.csv.
    """
    if config.searched_threshold:
        found = find_threshold(config.searched_threshold, segmenter, index)
        segmenter.card = segmenter.card.model_copy(update={"threshold": found})
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
    write_model("finetune", segmenter.parts, card, history)
