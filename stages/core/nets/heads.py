"""Heads that several methods put on a backbone."""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.params import Params


class ProjectionConfig(Params):
    """A projection head."""

    hidden: int = Field(2048, ge=0)
    """Width between the two layers, 0 for a single linear layer. SwAV, section A.1: 2048."""
    projected: int = Field(128, ge=1)
    """D, size of z. SwAV, section A.1: 128."""
    last_norm: bool = False
    """Batch norm without affine parameters before z is brought to length 1. SwAV: no; PASS: yes. With few photographs
    it keeps the embeddings apart; without it they start out so alike that SwAV's loss stays at ln P."""


class ProjectionHead(nn.Module):
    """Linear, batch norm, ReLU, linear: embeddings (B, L) to unit vectors z (B, D).

    Source: SwAV, section A.1.
    """

    def __init__(self, size: int, config: ProjectionConfig) -> None:
        super().__init__()
        hidden, projected = config.hidden, config.projected
        between = [nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)] if hidden else []
        behind = [nn.BatchNorm1d(projected, affine=False)] if config.last_norm else []
        self.layers = nn.Sequential(*between, nn.Linear(hidden or size, projected), *behind)

    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, L) to (B, D), rows of length 1."""
        return F.normalize(self.layers(embeddings), dim=1)


class Prototypes(nn.Module):
    """Unit vectors that embeddings are scored against; a linear layer without bias.

    Source: SwAV, section 3.1.
    """

    def __init__(self, size: int, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(F.normalize(torch.randn(count, size), dim=1))

    @torch.no_grad()
    def normalize(self) -> None:
        """Bring every prototype back to length 1; called before each forward pass."""
        self.weight.copy_(F.normalize(self.weight, dim=1))

    def forward(self, z: Tensor) -> Tensor:
        """(B, D) unit vectors to scores (B, P), which are cosines."""
        return z @ self.weight.T


class PixelClassifier(nn.Module):
    """A 1x1 convolution from features to the logits of K clusters.

    Args:
        size: D, channels of the features.
        clusters: K.
        normalize: Bring every pixel's features to length 1 before.
    """

    def __init__(self, size: int, clusters: int, normalize: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(size, clusters, 1)
        self.normalize = normalize

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to (B, K, h, w)."""
        logits: Tensor = self.conv(F.normalize(features, dim=1) if self.normalize else features)
        return logits

    @property
    def card(self) -> dict[str, Any]:
        """What a model's card says of it."""
        return {"clusters": self.conv.out_channels, "normalize": self.normalize}


def restore_classifier(size: int, described: Mapping[str, Any], state: Mapping[str, Tensor]) -> PixelClassifier:
    """The classifier of a model artifact.

    Args:
        size: D, channels of the features.
        described: What the model's card says of it.
        state: Its tensors.
    """
    classifier = PixelClassifier(size, described["clusters"], described["normalize"])
    classifier.load_state_dict(dict(state))
    return classifier


def classify_by_centroids(centroids: Tensor, normalize: bool) -> PixelClassifier:
    """The classifier whose largest logit is the nearest centroid: -|x - c|^2 / 2 without the part that all share.

    Args:
        centroids: (K, D), as they are compared with the features.
        normalize: Bring every pixel's features to length 1 before.
    """
    classifier = PixelClassifier(centroids.shape[1], len(centroids), normalize)
    bias = -centroids.square().sum(1) / 2
    classifier.load_state_dict({"conv.weight": centroids[:, :, None, None], "conv.bias": bias})
    return classifier


class GlobalPool(nn.Module):
    """The spatial mean of a feature map."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, L, h, w) to (B, L)."""
        return features.mean((2, 3))
