"""`python -m stages.extract`."""

from torch import nn

from stages.core.artifacts.features import write_features
from stages.core.artifacts.image_index import read_images
from stages.core.artifacts.models import Card, read_model
from stages.core.cli import run_stage
from stages.core.errors import UserError
from stages.core.nets.attention import restore_attention
from stages.core.nets.features import restore_features
from stages.core.nets.heads import GlobalPool, ProjectionConfig, ProjectionHead
from stages.extract import Config
from stages.extract.methods.image import ImageEmbeddings


def main(config: ImageEmbeddings) -> None:
    """Write the embeddings of the chosen splits."""
    index = read_images().of(*config.splits)
    network, card, size = _restore_network(config)
    write_features(config.embed(network, card["input"], index), size, config.dtype, config.method)


def _restore_network(config: ImageEmbeddings) -> tuple[nn.Module, Card, int]:
    """The network from photographs to embeddings, its model's card, and the embeddings' size."""
    projected = config.embedding == "projected"
    card, states = read_model("attend", ["projector"] if projected else [])
    features = restore_features(card, states, config.feature_map)
    own_map = features.feature_map == card["feature_map"]
    # Attention and projection head were trained on the model's own map and fit no other.
    attends = own_map and "attention" in states
    pool = restore_attention(card, states["attention"], features.size) if attends else GlobalPool()
    if not projected:
        return nn.Sequential(features, pool), card, features.size
    if not own_map:
        raise UserError(f"extract.embedding: projected is made of the model's {card['feature_map']}; take backbone")
    head_config = ProjectionConfig.model_validate(card["parts"]["projector"])
    head = ProjectionHead(features.size, head_config)
    head.load_state_dict(states["projector"])
    return nn.Sequential(features, pool, head), card, head_config.projected


if __name__ == "__main__":
    run_stage("extract", Config, main)
