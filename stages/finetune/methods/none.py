"""No fine-tuning: the centroids of the clusters are the segmenter's last layer.

Source: the k-means protocols of MaskContrast (section 4.4) and ViCE (section 4): a pixel takes its nearest centroid.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from stages.core.artifacts.clusters import Centroids
from stages.core.artifacts.models import Card
from stages.core.errors import UserError
from stages.core.faiss_ops import normalize_rows
from stages.core.nets.heads import PixelClassifier, classify_by_centroids
from stages.core.nets.objects import ObjectNetwork, restore_objects
from stages.core.nets.segmenter import Score, SegmenterCard
from stages.core.params import Params
from stages.finetune.threshold import ThresholdConfig


class NoFineTuningConfig(Params):
    """Take the representation as it is."""

    method: Literal["none"] = "none"
    supervision: Literal["images"] = "images"
    """What is trained on; nothing is."""
    short_side: int = Field(256, ge=8)
    """Side in pixels that photographs are resized to at inference."""
    background: Literal["threshold", "saliency_head"] = "threshold"
    """Whether a pixel is background by its score, or by the model's saliency head (MaskContrast)."""
    score: Score = "softmax"
    """What is compared with the threshold where the saliency head is not."""
    threshold: ThresholdConfig = ThresholdConfig()
    """Below it a pixel is background; a fixed 0 makes every pixel a cluster's (ViCE)."""

    def segmenter_card(self, outputs: int) -> SegmenterCard:
        """What the card says of the segmenter whose classifier has `outputs` channels."""
        return SegmenterCard(
            clusters=outputs,
            short_side=self.short_side,
            score=self.score,
            background=self.background,
            **self.threshold.card,
        )

    def build(
        self, card: Card, states: Mapping[str, Mapping[str, Tensor]], centroids: Centroids
    ) -> tuple[ObjectNetwork, PixelClassifier]:
        """The network that the centroids were found with, and the classifier of its features by nearest centroid.

        Raises:
            UserError: The centroids do not fit the network, or it lacks the saliency head.
        """
        if self.background == "saliency_head" and "saliency" not in states:
            raise UserError(f"finetune.background: the model of {card['method']} has no saliency head; take threshold")
        network, size = restore_objects(card, states), centroids.embeddings.shape[1]
        if size != network.size:
            raise UserError(
                f"finetune: the centroids have {size} channels, the pixels of the model of {card['method']} "
                f"{network.size}; cluster embeddings of pixels as they are, neither projected nor whitened"
            )
        unit = centroids.normalize_at_use or network.embedding is not None  # whose objects are means of directions
        vectors = torch.tensor(normalize_rows(centroids.embeddings) if unit else centroids.embeddings)
        if network.embedding is None:
            return network, classify_by_centroids(vectors, normalize=unit)
        return network, _join(network.embedding, classify_by_centroids(vectors, normalize=False))


def _join(embedding: PixelClassifier, classifier: PixelClassifier) -> PixelClassifier:
    """One classifier of features instead of two layers.

    Unit centroids all have the same bias, so the largest logit does not depend on the length of an embedding.
    """
    joined = PixelClassifier(embedding.conv.in_channels, classifier.conv.out_channels)
    first, second = embedding.conv, classifier.conv
    assert first.bias is not None
    assert second.bias is not None
    assert joined.conv.bias is not None
    with torch.no_grad():
        joined.conv.weight.copy_(torch.einsum("kd,dchw->kchw", second.weight[:, :, 0, 0], first.weight))
        joined.conv.bias.copy_(second.weight[:, :, 0, 0] @ first.bias + second.bias)
    return joined
