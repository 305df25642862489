"""Pixel attention: weights of pixels for pooling a feature map, learnt, or of a class token."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stages.core.config.networks import AttentionConfig
from stages.core.nets.heads import draw_fan_out


class PixelAttention(nn.Module):
    """One weight per pixel: c(z) = sigmoid(conv1x1(z)).

    Source: LUSS, section 4 (pixel attention).
    """

    def __init__(self, size: int, enlarge: int = 1) -> None:
        super().__init__()
        self.card = AttentionConfig(kind="pixel", enlarge=enlarge)
        self.conv = nn.Conv2d(size, 1, 1)

    def logits(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to (B, 1, h, w), before the sigmoid."""
        logits: Tensor = self.conv(features)
        return logits

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to weights (B, 1, h, w) in 0..1."""
        return torch.sigmoid(self.logits(features))


class ChannelAttention(nn.Module):
    """One weight per pixel and channel, from features of length 1: two 1x1 convolutions and a sigmoid.

    Source: the code of LUSS's authors (PASS, step 2.1), with its offset per channel, which starts at 0,
    and its starting weights.
    """

    def __init__(self, size: int, enlarge: int = 1) -> None:
        super().__init__()
        self.card = AttentionConfig(kind="channel", enlarge=enlarge)
        self.layers = nn.Sequential(
            nn.Conv2d(size, size, 1), nn.BatchNorm2d(size), nn.ReLU(inplace=True), nn.Conv2d(size, size, 1)
        )
        self.norm = nn.BatchNorm2d(size)
        self.offset = nn.Parameter(torch.zeros(size, 1, 1))
        draw_fan_out(self.layers)

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) of any length to weights (B, D, h, w) in 0..1."""
        return torch.sigmoid(self.norm(self.layers(F.normalize(features, dim=1))) + self.offset)


class ClassTokenAttention(nn.Module):
    """How much of its attention a vision transformer's class token gives to each patch, as the mean of its heads.

    It has no weights of its own, and reads the backbone, not its map: `FeatureNetwork.attend` does that.
    """

    def __init__(self, block: int = -1) -> None:
        super().__init__()
        self.card = AttentionConfig(kind="class_token", block=block)

    def forward(self, attention: Tensor) -> Tensor:
        """Attention per head (B, heads, h, w) to weights (B, 1, h, w) in 0..1; see `rank_by_mass`."""
        return rank_by_mass(attention.mean(1, keepdim=True))


Attention = PixelAttention | ChannelAttention | ClassTokenAttention


def rank_by_mass(shares: Tensor) -> Tensor:
    """Which part of an image's attention goes to pixels that have less of it than a pixel, or as much.

    Attention has another scale in every image; this does not: 1 where most of it is, and from 1 - m on lie those
    pixels that together make m of it.

    Args:
        shares: (B, 1, h, w) attention, not negative.

    Returns:
        (B, 1, h, w) in 0..1.

    Source: DINO (Caron et al., ICCV 2021), section 4.2.2, takes the pixels that keep 60 % of the mass as a mask: here
    those from 0.4 on.
    """
    flat = shares.flatten(1)
    order = flat.argsort(dim=1, stable=True)
    mass = flat.gather(1, order).cumsum(1)
    ranked = torch.zeros_like(flat).scatter(1, order, mass / mass[:, -1:])
    return ranked.reshape(shares.shape)


class AttentivePool(nn.Module):
    """The spatial mean of a map times its attention.

    Args:
        attention: Gives the weights, and says how many times the map is enlarged before.
    """

    def __init__(self, attention: PixelAttention | ChannelAttention) -> None:
        super().__init__()
        self.attention, self.enlarge = attention, attention.card.enlarge

    def weigh(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to the map that is pooled, (B, D, enlarge h, enlarge w)."""
        features = enlarge_map(features, self.enlarge)
        weighted: Tensor = self.attention(features) * features
        return weighted

    def forward(self, features: Tensor) -> Tensor:
        """(B, D, h, w) to (B, D)."""
        return self.weigh(features).mean((2, 3))


def enlarge_map(features: Tensor, times: int) -> Tensor:
    """Enlarge a map bilinearly: (B, D, h, w) to (B, D, times h, times w)."""
    if times == 1:
        return features
    return F.interpolate(features, scale_factor=times, mode="bilinear", align_corners=False)


def restore_attention(config: AttentionConfig, state: Mapping[str, Tensor], size: int) -> Attention:
    """The attention of a model artifact, for maps with `size` channels."""
    if config.kind == "class_token":
        return ClassTokenAttention(config.block)
    attention = (PixelAttention if config.kind == "pixel" else ChannelAttention)(size, config.enlarge)
    attention.load_state_dict(dict(state))
    return attention
