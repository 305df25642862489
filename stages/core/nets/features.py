"""From photographs to one map of features: a backbone, and a decoder where there is one."""

from collections.abc import Mapping
from typing import Literal

from pydantic import TypeAdapter
from torch import Tensor, nn

from stages.core.artifacts.models import Card
from stages.core.errors import UserError
from stages.core.nets.backbones import (
    BackboneConfig,
    build_backbone,
    embedding_size,
    restore_backbone,
    stage_channels,
    stage_maps,
)
from stages.core.nets.decoders import Decoder, DecoderConfig

FeatureMap = Literal["stage4", "decoder"]
"""Which map is meant: the backbone's last one, or the decoder's."""


class FeatureNetwork(nn.Module):
    """A backbone with or without a decoder; `size` is D, the channels of its map."""

    def __init__(self, backbone: nn.Module, decoder: Decoder | None = None) -> None:
        super().__init__()
        self.backbone, self.decoder = backbone, decoder
        self.size = decoder.size if decoder else embedding_size(backbone)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D, h, w)."""
        features: Tensor = self.decoder(stage_maps(self.backbone, images)) if self.decoder else self.backbone(images)
        return features

    @property
    def feature_map(self) -> FeatureMap:
        """Which map it gives, as a model's card says it."""
        return "decoder" if self.decoder else "stage4"

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Its modules by part of the model artifact."""
        return {"backbone": self.backbone} | ({"decoder": self.decoder} if self.decoder else {})


def build_features(backbone: BackboneConfig, decoder: DecoderConfig | None) -> FeatureNetwork:
    """A network with random weights from torch's generator.

    Raises:
        UserError: timm has no such backbone, or not at this output stride.
    """
    network = build_backbone(backbone)
    return FeatureNetwork(network, decoder.build(stage_channels(network)) if decoder else None)


def restore_features(
    card: Card, states: Mapping[str, Mapping[str, Tensor]], feature_map: FeatureMap | None = None
) -> FeatureNetwork:
    """The network of a model artifact, with its weights.

    Args:
        card: The model's card.
        states: Its tensors by part.
        feature_map: Which map to take; None for the one that the card names.

    Raises:
        UserError: The decoder's map is asked for and the model has no decoder.
    """
    backbone = restore_backbone(card, states["backbone"])
    if (feature_map or card["feature_map"]) == "stage4":
        return FeatureNetwork(backbone)
    if "decoder" not in states:
        raise UserError(f"feature_map: decoder, but the model of {card['method']} has no decoder; take stage4")
    config: DecoderConfig = TypeAdapter(DecoderConfig).validate_python(card["parts"]["decoder"])
    decoder = config.build(stage_channels(backbone))
    decoder.load_state_dict(dict(states["decoder"]))
    return FeatureNetwork(backbone, decoder)
