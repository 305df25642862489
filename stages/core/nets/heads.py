"""Heads that several methods share: projection, prototypes, pixel classifier."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import ClassifierConfig, ProjectionConfig, PrototypesConfig
from stages.core.nets.precision import full_precision


def draw_fan_out(module: nn.Module) -> None:
    """Draw the weights of all convolutions anew as those of a ResNet: Kaiming's normal distribution by what they feed.

    Source: He et al., Delving Deep into Rectifiers, ICCV 2015; PASS's code has it for all of its convolutions.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")


class ProjectionHead(nn.Module):
    """Linear, batch norm, ReLU, linear: embeddings (B, L) to unit vectors z (B, D).

    Source: SwAV, section A.1.
    """

    def __init__(self, size: int, config: ProjectionConfig) -> None:
        super().__init__()
        self.card = config
        hidden, projected = config.hidden, config.projected
        between = [nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True)] if hidden else []
        behind = [nn.BatchNorm1d(projected, affine=False)] if config.last_norm else []
        self.layers = nn.Sequential(*between, nn.Linear(hidden or size, projected), *behind)

    @full_precision
    def forward(self, embeddings: Tensor) -> Tensor:
        """(B, L) to (B, D), rows of length 1."""
        return F.normalize(self.layers(embeddings), dim=1)


class Prototypes(nn.Module):
    """Unit vectors that embeddings are scored against; a linear layer without bias.

    Args:
        size: D, of an embedding.
        count: P, prototypes.
        frozen_for: Iterations before they learn.

    Source: SwAV, section 3.1 and A.1 (prototypes are frozen at first).
    """

    def __init__(self, size: int, count: int, frozen_for: int = 0) -> None:
        super().__init__()
        self.card, self._frozen_for = PrototypesConfig(count=count), frozen_for
        self.weight = nn.Parameter(F.normalize(torch.randn(count, size), dim=1))

    @torch.no_grad()
    def normalize(self) -> None:
        """Bring every prototype back to length 1; called before each forward pass."""
        self.weight.copy_(F.normalize(self.weight, dim=1))

    def drop_frozen_gradient(self, iteration: int) -> None:
        """Forget the gradient of an iteration in which the prototypes stay as they are."""
        if iteration < self._frozen_for:
            self.weight.grad = None

    @full_precision
    def forward(self, z: Tensor) -> Tensor:
        """(B, D) unit vectors to scores (B, P), which are cosines."""
        return z @ self.weight.T

    @full_precision
    def score_detached(self, z: Tensor) -> Tensor:
        """As `forward`, but no gradient reaches the prototypes."""
        return z @ self.weight.detach().T


class PixelClassifier(nn.Module):
    """A 1x1 convolution from features to the logits of K clusters.

    Args:
        size: D, channels of the features.
        clusters: K.
        normalize: Bring every pixel's features to length 1 before.
    """

    def __init__(self, size: int, clusters: int, normalize: bool = False) -> None:
        super().__init__()
        self.card = ClassifierConfig(clusters=clusters, normalize=normalize)
        self.conv = nn.Conv2d(size, clusters, 1)
        self.normalize = normalize

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to (B, K, h, w)."""
        logits: Tensor = self.conv(F.normalize(features, dim=1) if self.normalize else features)
        return logits


def restore_classifier(size: int, config: ClassifierConfig, state: Mapping[str, Tensor]) -> PixelClassifier:
    """The classifier of a model artifact.

    Args:
        size: D, channels of the features.
        config: What the model's card says of it.
        state: Its tensors.
    """
    classifier = PixelClassifier(size, config.clusters, config.normalize)
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
