"""Features of pixels enriched by the centroids of all categories' regions."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


def attend_to(features: Tensor, centroids: Tensor) -> Tensor:
    """Every pixel's mean of the centroids, weighed by the softmax of its products with them.

    Args:
        features: (B, D, h, w)
        centroids: (C, D); none of them gives 0.

    Returns:
        (B, D, h, w)

    Source: RCA, equations 7 and 8.
    """
    if not len(centroids):
        return torch.zeros_like(features)
    affinity = torch.einsum("bdhw,cd->bchw", features, centroids).softmax(1)
    return torch.einsum("bchw,cd->bdhw", affinity, centroids)


class Aggregation(nn.Module, ABC):
    """Features that know the centroids.

    Args:
        size: D, channels of the features.
        outputs: Channels of what comes of them.
    """

    def __init__(self, size: int, outputs: int) -> None:
        super().__init__()
        self.size, self.outputs = size, outputs

    def forward(self, features: Tensor, centroids: Tensor) -> Tensor:
        """(B, D, h, w) and (C, D) to (B, outputs, h, w), in float32 inside of autocast too."""
        with torch.autocast(features.device.type, enabled=False):
            return self.join(features.float(), centroids)

    @abstractmethod
    def join(self, features: Tensor, centroids: Tensor) -> Tensor:
        """The features with what the centroids add."""


class AttentiveAggregation(Aggregation):
    """Attention without weights: the features, and beside them what they attend to. Source: RCA, equation 9."""

    def __init__(self, size: int) -> None:
        super().__init__(size, 2 * size)

    def join(self, features: Tensor, centroids: Tensor) -> Tensor:
        """See `Aggregation.join`."""
        return torch.cat([features, attend_to(features, centroids)], 1)


class ParametricAggregation(Aggregation):
    """Queries, keys and values by layers, no softmax, and all brought back to D channels.

    Source: RCA's code. The products are averaged over the centroids, which it leaves as a sum.
    """

    def __init__(self, size: int) -> None:
        super().__init__(size, size)
        self.query = nn.Conv2d(size, size, 1)
        self.key, self.value = nn.Linear(size, size), nn.Linear(size, size)
        self.context, self.last = nn.Conv2d(size, size, 1), nn.Conv2d(2 * size, size, 1)

    def join(self, features: Tensor, centroids: Tensor) -> Tensor:
        """See `Aggregation.join`."""
        found = torch.zeros_like(features)
        if len(centroids):
            affinity = 2 * torch.einsum("bdhw,cd->bchw", self.query(features), self.key(centroids)) / len(centroids)
            found = torch.einsum("bchw,cd->bdhw", affinity, self.value(centroids))
        joined: Tensor = self.last(torch.cat([features, self.context(found)], 1))
        return joined
