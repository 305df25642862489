"""Runs views of several sizes through one network."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def map_views(network: nn.Module, views: Sequence[Tensor]) -> list[Tensor]:
    """The network's result for every view (B, 3, size, size), in their order; views of one size go in one pass."""
    results: dict[int, list[Tensor]] = {}
    for size in dict.fromkeys(view.shape[-1] for view in views):
        same = [view for view in views if view.shape[-1] == size]
        results[size] = list(network(torch.cat(same)).chunk(len(same)))
    return [results[view.shape[-1]].pop(0) for view in views]
