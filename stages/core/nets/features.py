"""From photographs to one map of features: a backbone, and where they are wanted a decoder and attention."""

from collections.abc import Mapping
from typing import Literal

from pydantic import TypeAdapter
from torch import Tensor, nn

from stages.core.artifacts.models import Card
from stages.core.errors import UserError
from stages.core.nets.attention import AttentivePool, restore_attention
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
    """A backbone with or without a decoder, its map weighed by attention or not; `size` is D, the map's channels."""

    def __init__(
        self, backbone: nn.Module, decoder: Decoder | None = None, attention: AttentivePool | None = None
    ) -> None:
        super().__init__()
        self.backbone, self.decoder, self.pool = backbone, decoder, attention
        self.size = decoder.size if decoder else embedding_size(backbone)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D, h, w)."""
        features: Tensor = self.decoder(stage_maps(self.backbone, images)) if self.decoder else self.backbone(images)
        return self.pool.weigh(features) if self.pool else features

    @property
    def feature_map(self) -> FeatureMap:
        """Which map it gives, as a model's card says it."""
        return "decoder" if self.decoder else "stage4"

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Its modules by part of the model artifact."""
        parts = {"backbone": self.backbone} | ({"decoder": self.decoder} if self.decoder else {})
        return parts | ({"attention": self.pool.attention} if self.pool else {})


def build_features(backbone: BackboneConfig, decoder: DecoderConfig | None) -> FeatureNetwork:
    """A network with random weights from torch's generator.

    Raises:
        UserError: timm has no such backbone, or not at this output stride.
    """
    network = build_backbone(backbone)
    return FeatureNetwork(network, decoder.build(stage_channels(network)) if decoder else None)


def restore_features(
    card: Card,
    states: Mapping[str, Mapping[str, Tensor]],
    feature_map: FeatureMap | None = None,
    is_attended: bool = False,
) -> FeatureNetwork:
    """The network of a model artifact, with its weights.

    Args:
        card: The model's card.
        states: Its tensors by part.
        feature_map: Which map to take; None for the one that the card names.
        is_attended: Weigh the map by the model's attention, if it has one and that was trained on this map.

    Raises:
        UserError: The decoder's map is asked for and the model has no decoder.
    """
    backbone = restore_backbone(card, states["backbone"])
    chosen = feature_map or card["feature_map"]
    decoder = _restore_decoder(card, states, stage_channels(backbone)) if chosen == "decoder" else None
    network = FeatureNetwork(backbone, decoder)
    if is_attended and "attention" in states and chosen == card["feature_map"]:
        network.pool = restore_attention(card, states["attention"], network.size)
    return network


def _restore_decoder(card: Card, states: Mapping[str, Mapping[str, Tensor]], channels: list[int]) -> Decoder:
    if "decoder" not in states:
        raise UserError(f"feature_map: decoder, but the model of {card['method']} has no decoder; take stage4")
    config: DecoderConfig = TypeAdapter(DecoderConfig).validate_python(card["parts"]["decoder"])
    decoder = config.build(channels)
    decoder.load_state_dict(dict(states["decoder"]))
    return decoder
