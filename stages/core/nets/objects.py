"""A network with MaskContrast's outputs: an embedding per pixel, and its saliency where a head was trained."""

from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.artifacts.model_card import ModelCard
from stages.core.config.networks import Space
from stages.core.nets.features import FeatureNetwork, restore_features
from stages.core.nets.heads import PixelClassifier, restore_classifier


class ObjectMaps(NamedTuple):
    """Embeddings and saliency logits of a batch, at the size of its images."""

    embeddings: Tensor
    """(B, D, H, W), of any length."""
    salient: Tensor | None
    """(B, H, W) logits."""


class ObjectNetwork(nn.Module):
    """A feature network with a model's embedding and saliency heads; without the former, features are embeddings."""

    def __init__(
        self, features: FeatureNetwork, embedding: PixelClassifier | None, saliency: PixelClassifier | None
    ) -> None:
        super().__init__()
        self.features, self.embedding, self.saliency = features, embedding, saliency
        self.size = embedding.conv.out_channels if embedding else features.size
        self.space: Space = "embedding" if embedding else features.feature_map

    def forward(self, images: Tensor) -> ObjectMaps:
        """Maps of normalized images (B, 3, H, W), enlarged bilinearly to their size."""
        features, size = self.features(images), images.shape[-2:]
        embeddings = self.embedding(features) if self.embedding else features
        salient = _enlarge(self.saliency(features), size)[:, 0] if self.saliency else None
        return ObjectMaps(_enlarge(embeddings, size), salient)

    def embed(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) normalized to embeddings (B, D, h, w), not enlarged."""
        features = self.features(images)
        embeddings: Tensor = self.embedding(features) if self.embedding else features
        return embeddings


def restore_objects(card: ModelCard, states: Mapping[str, Mapping[str, Tensor]]) -> ObjectNetwork:
    """The network of a model artifact, with its weights.

    Args:
        card: The model's card.
        states: Its tensors by part; `embedding` and `saliency` may be missing.
    """
    features = restore_features(card, states)
    embedding, saliency = (
        restore_classifier(features.size, config, states[part]) if config else None
        for part, config in (("embedding", card.parts.embedding), ("saliency", card.parts.saliency))
    )
    return ObjectNetwork(features, embedding, saliency)


def _enlarge(maps: Tensor, size: tuple[int, ...]) -> Tensor:
    return F.interpolate(maps.float(), size, mode="bilinear", align_corners=False)
