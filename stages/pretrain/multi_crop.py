"""Views of several sizes through one network."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import AfterValidator
from torch import Tensor, nn

from stages.core.images.views import MultiCropConfig


def map_views(network: nn.Module, views: Sequence[Tensor]) -> list[Tensor]:
    """The network's result for every view (B, 3, size, size), in their order; views of one size go in one pass."""
    results: dict[int, list[Tensor]] = {}
    for size in dict.fromkeys(view.shape[-1] for view in views):
        same = [view for view in views if view.shape[-1] == size]
        results[size] = list(network(torch.cat(same)).chunk(len(same)))
    return [results[view.shape[-1]].pop(0) for view in views]


def _check_two_large_views(views: MultiCropConfig) -> MultiCropConfig:
    if views.crops[0].count < 2:
        raise ValueError("the first group of crops must hold at least two views")
    return views


MultiCrop = Annotated[MultiCropConfig, AfterValidator(_check_two_large_views)]
"""Views whose first group holds the two large ones that get codes."""
