"""What a decoder is."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from stages.core.config.networks import DeepLabV3Config, DeepLabV3PlusConfig, FPNConfig


class Decoder(nn.Module, ABC):
    """Maps of the backbone's last four stages, finest first, to one map.

    `size` is its number of channels, `card` the config that it was built from.
    """

    size: int
    card: DeepLabV3PlusConfig | DeepLabV3Config | FPNConfig

    @abstractmethod
    def forward(self, stages: Sequence[Tensor]) -> Tensor:
        """(B, C_s, h_s, w_s) of each stage to (B, size, h, w)."""
