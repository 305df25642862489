"""Trains a representation on the index and writes the model artifact."""

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.model_card import ModelCard, PhotographCounts, StartCard
from stages.core.artifacts.models import describe_parts, write_model
from stages.core.config.weights import WeightsFile, uses_labels
from stages.core.engine.devices import seed_everything
from stages.core.engine.loop import train
from stages.core.nets.backbones import map_stride
from stages.core.nets.features import FeatureNetwork
from stages.core.resume import resumable_work
from stages.pretrain.config import TrainedPretrainConfig


def pretrain(config: TrainedPretrainConfig) -> None:
    """Train a method on the train split and write the model `artifacts/pretrain`.

    Raises:
        UserError: There is nothing to learn from, or training goes wrong.
    """
    train_split = read_images().in_splits("train")
    seed_everything(config.training.seed)
    method = config.build()
    index = method.select_photos(train_split)
    counts = PhotographCounts(used=len(index), left_out=len(train_split) - len(index))
    inputs = {"images": index.content_hash, **{name: open_label_maps(name).content_hash for name in method.maps}}
    with resumable_work("pretrain", config, inputs) as work:
        history = train(method, config.training, index, "pretrain", work)
        parts = method.export()
        features = FeatureNetwork.from_parts(parts)
        card = ModelCard(
            method=config.method,
            parts=describe_parts(parts),
            feature_map=features.feature_map,
            output_stride=map_stride(features.backbone),
            embedding_size=features.size,
            input=config.views.input_card,
            start=describe_start(config.weights),
            labels_used=uses_labels(config.weights) or config.supervision != "images",
            params=config.model_dump(mode="json"),
            photographs=counts,
            chance=dict(method.expected.chance) or None,
        )
        write_model("pretrain", parts, card, history)
    if counts.left_out:
        print(f"pretrain: {counts.used} photographs used, {counts.left_out} left out")


def describe_start(weights: WeightsFile | None) -> StartCard:
    """Where the weights come from before training; None for random ones."""
    if weights is None:
        return StartCard()
    return StartCard(origin=weights.origin, sha256=weights.sha256, license=weights.license)
