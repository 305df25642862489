"""Full precision for the small layers whose results are divided by a temperature."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def full_precision(forward: Callable[[Module, Tensor], Tensor]) -> Callable[[Module, Tensor], Tensor]:
    """Let a module's `forward` compute in float32 inside of autocast too.

    Cosines that are divided by a small temperature or epsilon want more digits than bf16 has.
    """

    @wraps(forward)
    def in_float32(module: Module, inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return forward(module, inputs.float())

    return in_float32
