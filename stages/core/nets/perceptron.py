"""A head of two layers whose result keeps its length: projectors and predictors of BYOL, MoCo and others."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor, nn

from stages.core.nets.precision import full_precision


class Perceptron(nn.Module):
    """Linear, batch norm, ReLU, linear.

    Args:
        size: Channels that go in.
        hidden: Between the layers.
        out: Channels that come out.
        norm: Whether there is a batch norm.
        of: `vectors` (B, size), or `maps` (B, size, h, w), which 1x1 convolutions keep as maps.
    """

    def __init__(
        self, size: int, hidden: int, out: int, norm: bool = True, of: Literal["vectors", "maps"] = "vectors"
    ) -> None:
        super().__init__()
        layer: Callable[[int, int], nn.Module]
        layer, norm_of = (nn.Linear, nn.BatchNorm1d) if of == "vectors" else (_pointwise, nn.BatchNorm2d)
        between: list[nn.Module] = [norm_of(hidden)] if norm else []
        self.layers = nn.Sequential(layer(size, hidden), *between, nn.ReLU(inplace=True), layer(hidden, out))

    @full_precision
    def forward(self, inputs: Tensor) -> Tensor:
        """(B, size, ...) to (B, out, ...) in float32, of any length."""
        result: Tensor = self.layers(inputs)
        return result


def _pointwise(size: int, out: int) -> nn.Conv2d:
    return nn.Conv2d(size, out, 1)
