"""`python -m stages.finetune`."""

from stages.core.artifacts.clusters import read_centroids
from stages.core.artifacts.image_index import ImageIndex, read_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import Card, model_hash, read_model, write_model
from stages.core.cli import run_stage
from stages.core.engine.devices import inference_device, seed_everything
from stages.core.engine.loop import train
from stages.core.nets.features import restore_features
from stages.core.nets.segmenter import Segmenter, SegmenterCard
from stages.core.unfinished import unfinished_work
from stages.finetune import Config
from stages.finetune.methods.image import ImageClassifier, ImageFineTuning
from stages.finetune.threshold import find_threshold


def main(config: ImageFineTuning) -> None:
    """Write the segmenter."""
    labels = open_label_maps("pseudolabel")
    index = read_images().among(labels.image_ids)
    pretrained, states = read_model("pretrain", ["backbone"])
    seed_everything(config.training.seed)
    method = config.build(restore_features(pretrained, states, config.feature_map), len(read_centroids().embeddings))
    inputs = {"images": index.content_hash, "pseudolabel": labels.content_hash, "pretrain": model_hash("pretrain")}
    with unfinished_work("finetune", config, inputs) as work:
        history = train(method, config.training, index, "finetune", work)
        write_model("finetune", method.export(), _describe(config, pretrained, method, index), history)


def _describe(config: ImageFineTuning, pretrained: Card, method: ImageClassifier, index: ImageIndex) -> Card:
    clusters = method.head.conv.out_channels
    segmenter = SegmenterCard(
        clusters=clusters,
        short_side=config.short_side,
        score=config.score,
        background="threshold",
        threshold=config.threshold.value,
        threshold_source="fixed" if config.threshold.rule == "fixed" else "without_labels",
    )
    network = Segmenter(method.features, method.head, segmenter, config.views.input_card).to(inference_device()).eval()
    segmenter["threshold"] = find_threshold(config.threshold, network, index)
    kept = {key: pretrained[key] for key in ("output_stride", "start", "labels_used")}
    parts = {part: pretrained["parts"][part] for part in method.features.parts}
    return {
        "method": config.method,
        "parts": {**parts, "head": method.head.card},
        "feature_map": method.features.feature_map,
        "embedding_size": method.features.size,
        **kept,
        "input": config.views.input_card,
        "segmenter": segmenter,
        "params": config.model_dump(mode="json"),
    }


if __name__ == "__main__":
    run_stage("finetune", Config, main)
