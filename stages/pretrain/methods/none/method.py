"""A backbone from a file of weights, or with random weights as a baseline."""

from stages.core.artifacts.model_card import ModelCard
from stages.core.artifacts.models import describe_parts, import_model, read_model_card, write_model
from stages.core.config.weights import uses_labels
from stages.core.engine.devices import seed_everything
from stages.core.errors import UserError
from stages.core.nets.backbones import map_stride
from stages.core.nets.features import build_features
from stages.core.nets.weights import find_weights
from stages.pretrain.methods.none.config import NoPretrainingConfig
from stages.pretrain.training import describe_start


def import_backbone(config: NoPretrainingConfig) -> None:
    """Write a backbone with the weights of a file, or with random ones, as the model `artifacts/pretrain`."""
    seed_everything(config.seed)
    features = build_features(config.backbone, config.decoder, config.weights)
    card = ModelCard(
        method=config.method,
        parts=describe_parts(features.parts),
        feature_map=features.feature_map,
        output_stride=map_stride(features.backbone),
        embedding_size=features.size,
        input=config.input_card,
        start=describe_start(config.weights),
        labels_used=uses_labels(config.weights),
        params=config.model_dump(mode="json"),
    )
    write_model("pretrain", features.parts, card, [])


def import_whole_model(config: NoPretrainingConfig) -> None:
    """Write a model that was trained elsewhere, with its decoder and heads, as `artifacts/pretrain`.

    Raises:
        UserError: No file of weights is named, or no model artifact lies around it.
    """
    weights = config.weights
    if weights is None:
        raise UserError(
            "pretrain.whole_model: name the model in pretrain.weights.path: some artifacts/pretrain's weights"
        )
    folder = find_weights(weights).parent
    card = read_model_card(folder.name, folder.parent)
    used = card.labels_used or uses_labels(weights)
    import_model(folder, "pretrain", {"start": describe_start(weights), "labels_used": used})
