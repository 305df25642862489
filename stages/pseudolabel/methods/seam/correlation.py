"""Maps of pixels shared among those that look alike, and the losses that tie maps of two sizes to each other."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LEAST = 1e-5


def normalize_maps(maps: Tensor) -> Tensor:
    """What is above 0 of maps (B, L, h, w), each divided by its maximum."""
    positive = F.relu(maps)
    return F.relu(positive - _LEAST) / (positive.amax((2, 3), keepdim=True) + _LEAST)


def with_background(maps: Tensor) -> Tensor:
    """Maps (B, L, h, w) in 0..1 with 1 - the strongest before them: (B, 1 + L, h, w)."""
    return torch.cat([1 - maps.amax(1, keepdim=True), maps], 1)


def keep_strongest(maps: Tensor) -> Tensor:
    """Maps (B, L, h, w) with 0 wherever another category is stronger."""
    return torch.where(maps < maps.amax(1, keepdim=True), 0, maps)


def mark_strongest(maps: Tensor) -> Tensor:
    """Maps (B, L, h, w) with 0 wherever another one is stronger, without gradient: a pixel's decision."""
    return keep_strongest(maps.detach())


class PixelCorrelation(nn.Module):
    """Maps refined by how alike pixels are in the image and in two middle maps of the network.

    Only the layers here learn by it: what they see is detached.

    Args:
        channels: Of the two maps.
        correlated: Channels by which pixels are compared.

    Source: SEAM, section 3.3; widths of its code.
    """

    def __init__(self, channels: tuple[int, int], correlated: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels[0], 64, 1, bias=False)
        self.second = nn.Conv2d(channels[1], 128, 1, bias=False)
        self.compare = nn.Conv2d(3 + 64 + 128, correlated, 1, bias=False)

    def forward(self, images: Tensor, middle: tuple[Tensor, Tensor], maps: Tensor) -> Tensor:
        """Refine maps.

        Args:
            images: (B, 3, H, W)
            middle: Two maps of features.
            maps: (B, 1 + L, h, w) in 0..1.

        Returns:
            (B, 1 + L, h, w)
        """
        seen = [_resize(each.detach(), maps.shape[-2:]) for each in (images, *middle)]
        described = self.compare(torch.cat([seen[0], F.relu(self.first(seen[1])), F.relu(self.second(seen[2]))], 1))
        return correlate(described.float(), maps.detach().float())


def _resize(features: Tensor, size: torch.Size) -> Tensor:
    return F.interpolate(features, size, mode="bilinear", align_corners=True)


def correlate(described: Tensor, maps: Tensor) -> Tensor:
    """Every pixel's mean of the maps, weighed by its cosines above 0 with all pixels.

    Args:
        described: (B, D, h, w)
        maps: (B, L, h, w)

    Returns:
        (B, L, h, w)

    Source: SEAM, equation 8 (without the square root of two separate embeddings).
    """
    vectors = F.normalize(described.flatten(2), dim=1)  # (B, D, n)
    affinity = F.relu(vectors.transpose(1, 2) @ vectors)
    affinity = affinity / (affinity.sum(1, keepdim=True) + _LEAST)
    return (maps.flatten(2) @ affinity).view_as(maps)


def mean_of_weakest(maps: Tensor, share: float) -> Tensor:
    """Mean of the least activations of the strongest maps (B, L, h, w), over a share of each photograph's places."""
    strongest = maps.amax(1).flatten(1)
    count = max(int(strongest.shape[1] * share), 1)
    return F.relu(strongest.topk(count, largest=False).values).mean()


def mean_of_hardest(difference: Tensor, share: float) -> Tensor:
    """Mean of the largest of absolute differences (B, 1 + L, h, w), over a share of them in each photograph."""
    each = difference.abs().flatten(1)
    return each.topk(max(int(each.shape[1] * share), 1)).values.mean()
