"""`python -m stages.finetune`."""

from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.image_index import ImageIndex, read_images, read_labels
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import Card, InputCard, model_hash, read_model, write_model
from stages.core.cli import run_stage
from stages.core.engine.devices import inference_device, seed_everything
from stages.core.engine.loop import train
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.segmenter import Segmenter
from stages.core.resume import resumable_work
from stages.finetune import Config
from stages.finetune.methods.image import ImageFineTuningConfig
from stages.finetune.methods.none import NoFineTuningConfig
from stages.finetune.threshold import find_threshold
from stages.finetune.true_masks import TrueMaskTrainingConfig


def main(config: Config) -> None:
    """Write the segmenter."""
    if isinstance(config, NoFineTuningConfig):
        return _take_centroids(config)
    labels = open_label_maps("pseudolabel")
    index = read_images().among(labels.image_ids)
    pretrained, states = read_model("pretrain", ["backbone"])
    seed_everything(config.training.seed)
    is_attended = isinstance(config, ImageFineTuningConfig) and config.attended
    features = restore_features(pretrained, states, config.feature_map, is_attended)
    method = config.build(features, _count_categories(config))
    inputs = {"images": index.content_hash, "pseudolabel": labels.content_hash, "pretrain": model_hash("pretrain")}
    with resumable_work("finetune", config, inputs) as work:
        history = train(method, config.training, index, "finetune", work)
        segmenter = _assemble(config, method.features, method.head, config.views.input_card)
        write_model("finetune", segmenter.parts, _describe(config, pretrained, segmenter, index), history)
    return None


def _count_categories(config: Config) -> int:
    """Classes where masks are trained on, clusters otherwise."""
    return max(read_labels().classes) if config.supervision == "labels" else len(read_centroids().embeddings)


def _take_centroids(config: NoFineTuningConfig) -> None:
    card, states = read_model("attend", ["backbone"])
    network, head = config.build(card, states, read_centroids())
    saliency = network.saliency if config.background == "saliency_head" else None
    segmenter = _assemble(config, network.features, head, card["input"], saliency)
    write_model("finetune", segmenter.parts, _describe(config, card, segmenter, read_images().of("train")), [])


def _assemble(
    config: Config,
    features: FeatureNetwork,
    head: PixelClassifier,
    expects: InputCard,
    saliency: PixelClassifier | None = None,
) -> Segmenter:
    return (
        Segmenter(features, head, config.segmenter_card(head.conv.out_channels), expects, saliency)
        .to(inference_device())
        .eval()
    )


def _describe(config: Config, origin: Card, segmenter: Segmenter, index: ImageIndex) -> Card:
    if "threshold" in segmenter.card and not isinstance(config, TrueMaskTrainingConfig):
        segmenter.card["threshold"] = find_threshold(config.threshold, segmenter, index)
    kept = {key: origin[key] for key in ("output_stride", "start")}
    labels_used = bool(origin["labels_used"]) or config.supervision == "labels"
    features = segmenter.features
    return {
        "method": config.method,
        "parts": {
            **{part: origin["parts"][part] for part in features.parts},
            **{part: head.card for part, head in segmenter.heads.items()},
        },
        "feature_map": features.feature_map,
        "embedding_size": features.size,
        **kept,
        "labels_used": labels_used,
        "input": segmenter.expects,
        "segmenter": segmenter.card,
        "params": config.model_dump(mode="json"),
    }


if __name__ == "__main__":
    run_stage("finetune", Config, main)
