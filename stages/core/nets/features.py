"""The feature network: a backbone, optionally a decoder and attention, from images to one feature map."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn

from stages.core.artifacts.model_card import ModelCard
from stages.core.config.networks import BackboneConfig, DecoderConfig, FeatureMap
from stages.core.config.weights import WeightsFile
from stages.core.errors import UserError
from stages.core.nets.attention import Attention, ClassTokenAttention, enlarge_map, restore_attention
from stages.core.nets.backbones import build_backbone, embedding_size, stage_channels, stage_maps
from stages.core.nets.decoder import Decoder
from stages.core.nets.decoders import build_decoder
from stages.core.nets.transformers import class_attention, run_transformer
from stages.core.nets.weights import load_weights


class AttendedMap(NamedTuple):
    """A map of features and how much each of its pixels counts."""

    features: Tensor
    """(B, D, h, w), enlarged as the attention wants it."""
    weights: Tensor
    """(B, 1, h, w) or (B, D, h, w) in 0..1."""


class FeatureNetwork(nn.Module):
    """A backbone with an optional decoder and attention; `size` is D, the channels of its map."""

    def __init__(self, backbone: nn.Module, decoder: Decoder | None = None, attention: Attention | None = None) -> None:
        super().__init__()
        self.backbone, self.decoder, self.attention = backbone, decoder, attention
        self.size = decoder.size if decoder else embedding_size(backbone)

    @classmethod
    def from_parts(cls, parts: Mapping[str, nn.Module]) -> "FeatureNetwork":
        """The network of the backbone and the decoder, where there is one, among a model's parts."""
        decoder = parts.get("decoder")
        assert decoder is None or isinstance(decoder, Decoder)
        return cls(parts["backbone"], decoder)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, D, h, w), weighed by the attention if there is one."""
        if self.attention is None:
            return self._map(images)
        attended = self.attend(images)
        return attended.weights * attended.features

    def attend(self, images: Tensor) -> AttendedMap:
        """The map of images (B, 3, H, W), not weighed, and the weights of its pixels."""
        assert self.attention is not None
        if isinstance(self.attention, ClassTokenAttention):
            seen = run_transformer(self.backbone, images, self.attention.card.block)
            return AttendedMap(seen.features, self.attention(class_attention(self.backbone, seen)))
        features = enlarge_map(self._map(images), self.attention.card.enlarge)
        return AttendedMap(features, self.attention(features))

    def _map(self, images: Tensor) -> Tensor:
        features: Tensor = self.decoder(stage_maps(self.backbone, images)) if self.decoder else self.backbone(images)
        return features

    @property
    def feature_map(self) -> FeatureMap:
        """Which map it gives, as a model's card says it."""
        return "decoder" if self.decoder else "stage4"

    @property
    def parts(self) -> dict[str, nn.Module]:
        """Its modules by part of the model artifact."""
        parts = {"backbone": self.backbone} | ({"decoder": self.decoder} if self.decoder else {})
        return parts | ({"attention": self.attention} if self.attention else {})


def build_features(
    backbone: BackboneConfig, decoder: DecoderConfig | None, weights: WeightsFile | None = None
) -> FeatureNetwork:
    """A network with random weights from torch's generator, the backbone's from a file if one is named.

    Raises:
        UserError: timm has no such backbone, or not at this output stride, or the weights do not fit it.
    """
    network = build_backbone(backbone)
    features = FeatureNetwork(network, build_decoder(decoder, stage_channels(network)) if decoder else None)
    if weights:
        load_weights(network, weights)
    return features


def restore_backbone(card: ModelCard, states: Mapping[str, Mapping[str, Tensor]]) -> nn.Module:
    """The backbone of a model artifact, with its weights."""
    backbone = build_backbone(card.parts.backbone)
    backbone.load_state_dict(dict(states["backbone"]))
    return backbone


def restore_features(
    card: ModelCard,
    states: Mapping[str, Mapping[str, Tensor]],
    feature_map: FeatureMap | None = None,
    is_attended: bool = False,
) -> FeatureNetwork:
    """The network of a model artifact, with its weights.

    Args:
        card: The model's card.
        states: Its tensors by part.
        feature_map: Which map to take; None for the one that the card names.
        is_attended: Weigh the map by the model's attention, if it has one and that belongs to this map.

    Raises:
        UserError: The decoder's map is asked for and the model has no decoder.
    """
    backbone = restore_backbone(card, states)
    chosen = feature_map or card.feature_map
    decoder = _restore_decoder(card, states, stage_channels(backbone)) if chosen == "decoder" else None
    network = FeatureNetwork(backbone, decoder)
    if is_attended and chosen == card.feature_map and card.parts.attention:
        network.attention = restore_attention(card.parts.attention, states.get("attention", {}), network.size)
    return network


def _restore_decoder(card: ModelCard, states: Mapping[str, Mapping[str, Tensor]], channels: list[int]) -> Decoder:
    if card.parts.decoder is None:
        raise UserError(f"feature_map: decoder, but the model of {card.method} has no decoder; take stage4")
    decoder = build_decoder(card.parts.decoder, channels)
    decoder.load_state_dict(dict(states["decoder"]))
    return decoder
