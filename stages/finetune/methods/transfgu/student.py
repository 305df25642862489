"""What learns in TransFGU: a head, behind a decoder where there is one."""

from collections.abc import Sequence

from torch import Tensor, nn

from stages.core.nets.backbones import stage_channels
from stages.core.nets.decoders import build_decoder
from stages.core.nets.mask_transformer import Masks, MaskTransformer
from stages.core.nets.segmentation_heads import build_head
from stages.finetune.methods.transfgu.config import TransFGUConfig


class Student(nn.Module):
    """Maps of a frozen backbone to logits, with random weights from torch's generator.

    Args:
        config: What it is made of.
        backbone: Whose maps it takes.
        size: Channels of the backbone's last map.
        categories: Without the background.
    """

    def __init__(self, config: TransFGUConfig, backbone: nn.Module, size: int, categories: int) -> None:
        super().__init__()
        self.decoder = build_decoder(config.decoder, stage_channels(backbone)) if config.decoder else None
        channels = self.decoder.size if self.decoder else size
        self.head = build_head(channels, config.head_config(channels, categories))

    def forward(self, maps: Sequence[Tensor]) -> Masks:
        """Logits (B, C, h, w) and the classes' vectors; of a 1x1 convolution these are its rows.

        Args:
            maps: (B, D, h, w) of the backbone's stages where there is a decoder, else its last one alone.
        """
        features = self.decoder(list(maps)) if self.decoder else maps[-1]
        if isinstance(self.head, MaskTransformer):
            return self.head.decode(features)
        return Masks(self.head(features), self.head.conv.weight[None, :, :, 0, 0])
