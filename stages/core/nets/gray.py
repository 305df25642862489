"""Networks that see photographs in gray."""

from typing import Any, cast

from torch import Tensor, nn

from stages.core.config.views import IMAGENET_STD
from stages.core.errors import UserError

_LUMA = (0.299, 0.587, 0.114)
"""Of red, green and blue; ITU-R BT.601, as Pillow and torchvision have it."""


def see_gray(network: nn.Module) -> None:
    """Let the first layer of a timm network see images (B, 3, H, W) in gray, three times the same channel.

    Its parameters, their names and what it takes stay as they are. With images that are normalized by ImageNet's
    deviations, as every recipe's are, the result is exactly that for the photograph's luma.

    Raises:
        UserError: timm does not say which layer is the first.
    """
    first = cast(Any, network).default_cfg.get("first_conv")
    if not isinstance(first, str):
        raise UserError(f"backbone.gray: {cast(Any, network).card.name} has no single first layer; set it to false")
    network.get_submodule(first).register_forward_pre_hook(_turn_gray)


def _turn_gray(_layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Weighted mean of the channels; the weights undo the division by each channel's deviation."""
    (images,) = inputs
    weights = images.new_tensor(_LUMA) * images.new_tensor(IMAGENET_STD)
    gray = (images * (weights / weights.sum())[:, None, None]).sum(1, keepdim=True)
    return gray.expand_as(images)
