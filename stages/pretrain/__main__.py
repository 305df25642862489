"""`python -m stages.pretrain`."""

from collections.abc import Mapping
from typing import cast

from torch import nn

from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.label_maps import open_label_maps
from stages.core.artifacts.models import Card, read_model_card, take_model, write_model
from stages.core.cli import run_stage
from stages.core.engine.devices import seed_everything
from stages.core.engine.loop import train
from stages.core.errors import UserError
from stages.core.nets.backbones import build_backbone
from stages.core.nets.decoders import Decoder
from stages.core.nets.features import FeatureNetwork
from stages.core.nets.weights import WeightsFile, find_weights, load_weights
from stages.core.resume import resumable_work
from stages.pretrain import Config
from stages.pretrain.methods.none import NoPretrainingConfig


def main(config: Config) -> None:
    """Write a backbone that was trained on the train split, or taken as it is."""
    if isinstance(config, NoPretrainingConfig) and config.whole_model:
        return _take_model(config.weights)
    if isinstance(config, NoPretrainingConfig):
        parts = {"backbone": _take_backbone(config)}
        return write_model("pretrain", parts, _describe(config, parts), [])
    train_split = read_images().of("train")
    seed_everything(config.training.seed)
    method = config.build()
    index = method.choose(train_split)
    photographs = {"used": len(index), "left_out": len(train_split) - len(index)}
    inputs = {"images": index.content_hash, **{name: open_label_maps(name).content_hash for name in method.maps}}
    with resumable_work("pretrain", config, inputs) as work:
        history = train(method, config.training, index, "pretrain", work)
        card = {**_describe(config, method.export()), "photographs": photographs}
        write_model("pretrain", method.export(), card, history)
    if photographs["left_out"]:
        print("pretrain: {used} photographs used, {left_out} left out".format(**photographs))
    return None


def _take_model(weights: WeightsFile | None) -> None:
    if weights is None:
        raise UserError(
            "pretrain.whole_model: name the model in pretrain.weights.path: some artifacts/pretrain's weights"
        )
    folder = find_weights(weights).parent
    card = read_model_card(folder.name, folder.parent)
    start = {"origin": weights.origin, "sha256": weights.sha256}
    used = bool(card["labels_used"]) or weights.origin == "supervised"
    take_model(folder, "pretrain", {"start": start, "labels_used": used})


def _take_backbone(config: NoPretrainingConfig) -> nn.Module:
    seed_everything(config.seed)
    backbone = build_backbone(config.backbone)
    if config.weights:
        load_weights(backbone, config.weights)
    return backbone


def _describe(config: Config, parts: Mapping[str, nn.Module]) -> Card:
    weights, features = config.weights, FeatureNetwork(parts["backbone"], cast(Decoder | None, parts.get("decoder")))
    return {
        "method": config.method,
        "parts": config.parts_card,
        "feature_map": features.feature_map,
        "output_stride": config.backbone.output_stride,
        "embedding_size": features.size,
        "input": config.input_card if isinstance(config, NoPretrainingConfig) else config.views.input_card,
        "start": {"origin": weights.origin, "sha256": weights.sha256} if weights else {"origin": "random"},
        "labels_used": weights is not None and weights.origin == "supervised",
        "params": config.model_dump(mode="json"),
    }


if __name__ == "__main__":
    run_stage("pretrain", Config, main)
