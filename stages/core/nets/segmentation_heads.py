"""The kinds of heads that make logits of a segmenter's features."""

from collections.abc import Mapping

from torch import Tensor

from stages.core.config.networks import HeadConfig, MaskTransformerConfig
from stages.core.nets.heads import PixelClassifier
from stages.core.nets.mask_transformer import MaskTransformer

SegmentationHead = PixelClassifier | MaskTransformer
"""Features (B, D, h, w) to logits (B, K, h, w); `card` is its config."""


def build_head(size: int, config: HeadConfig) -> SegmentationHead:
    """A head with random weights from torch's generator.

    Args:
        size: D, channels of the features.
        config: Its kind and sizes.

    Raises:
        UserError: Its heads of attention do not share its channels evenly.
    """
    if isinstance(config, MaskTransformerConfig):
        return MaskTransformer(size, config)
    return PixelClassifier(size, config.clusters, config.normalize)


def restore_head(size: int, config: HeadConfig, state: Mapping[str, Tensor]) -> SegmentationHead:
    """The head of a model artifact.

    Args:
        size: D, channels of the features.
        config: What the model's card says of it.
        state: Its tensors.
    """
    head = build_head(size, config)
    head.load_state_dict(dict(state))
    return head
