"""The class token's attention in one block of a vision transformer; nothing is trained."""

import torch

from stages.attend.methods.cls_attention.config import ClassTokenAttentionConfig
from stages.core.artifacts.models import import_model, read_model
from stages.core.artifacts.shards import ARTIFACTS
from stages.core.errors import UserError
from stages.core.nets.attention import ClassTokenAttention
from stages.core.nets.features import restore_features
from stages.core.nets.transformers import is_transformer


def attend(config: ClassTokenAttentionConfig) -> None:
    """Write `artifacts/attend`: the model of `artifacts/pretrain` with the attention of its class token.

    Raises:
        UserError: Its backbone is no vision transformer, or has no such block or no class token; or its map is a
            decoder's, whose pixels are no patches.
    """
    card, states = read_model("pretrain", ["backbone"])
    network = restore_features(card, states).eval()
    if not is_transformer(network.backbone):
        raise UserError(
            f"attend.method = cls_attention: {card.parts.backbone.name} has no class token; take a transformer"
        )
    if network.decoder:
        raise UserError(f"attend.method = cls_attention: the map of {card.method} is a decoder's, not of patches")
    network.attention = ClassTokenAttention(config.block)
    with torch.inference_mode():
        network(torch.zeros(1, 3, card.input.size, card.input.size))  # Says what is missing before the stages behind.
    described = {
        "method": config.method,
        "parts": card.parts.model_copy(update={"attention": network.attention.card}),
        "params": config.model_dump(mode="json"),
    }
    import_model(ARTIFACTS / "pretrain", "attend", described)
