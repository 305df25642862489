"""Regions of a photograph's categories: their vectors, their contrast with a memory, and mixing them."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_FAR = -1e4
"""In place of a cosine over the temperature: adds nothing to a sum of exponentials."""
_SHORTEST = 1e-12
"""Length that vectors count with at least."""


def pool_regions(features: Tensor, maps: Tensor, tags: Tensor) -> Tensor:
    """The vector of each category's region: the mean of the features where its map is above its own mean.

    Args:
        features: (B, D, h, w)
        maps: (B, L, h, w) activation of every category.
        tags: (B, T) categories that are asked for; -1 for none, whose vector says nothing.

    Returns:
        (B, T, D)

    Source: RCA, equation 2. A map that is the same everywhere takes the whole photograph.
    """
    places = tags.clamp_min(0)[..., None, None].expand(-1, -1, *maps.shape[-2:])
    own = maps.detach().gather(1, places)  # (B, T, h, w)
    mask = own > own.mean((2, 3), keepdim=True)
    mask = (mask | ~mask.any(-1, keepdim=True).any(-2, keepdim=True)).to(features.dtype)
    sums = mask.flatten(2) @ features.flatten(2).transpose(1, 2)
    return sums / mask.sum((2, 3))[..., None]


class Known(NamedTuple):
    """A memory: what it holds is not copied, since it may be most of what a training holds."""

    vectors: Tensor
    """(E, D)"""
    owners: Tensor
    """(E,) their categories; -1 for an entry that has not been set."""


def compare(regions: Tensor, known: Known, temperature: float) -> Tensor:
    """Cosines (R, E) of regions (R, D) with the entries of a memory, divided by a temperature."""
    lengths = known.vectors.norm(dim=1).clamp_min(_SHORTEST)
    cosines: Tensor = F.normalize(regions.float(), dim=1) @ known.vectors.T / (lengths * temperature)
    return cosines


def contrast(cosines: Tensor, tags: Tensor, owners: Tensor) -> Tensor:
    """The mean over all entries of a region's own category of -log its share beside those of all other categories.

    Args:
        cosines: (R, E) see `compare`.
        tags: (R,) categories.
        owners: (E,) see `Known`.

    Returns:
        (R,); 0 for a region whose category has no entry, or no other category has one.

    Source: RCA, equation 4: every positive stands in the denominator alone with all negatives.
    """
    is_set = owners >= 0
    is_own = (tags[:, None] == owners) & is_set
    is_other = ~is_own & is_set
    others = cosines.masked_fill(~is_other, _FAR).logsumexp(1, keepdim=True)
    each = F.softplus(others - cosines)  # -log(e^s / (e^s + sum of e^others))
    losses = (each * is_own).sum(1) / is_own.sum(1).clamp_min(1)
    return losses * is_other.any(1)


class Mixing(NamedTuple):
    """With which region each one is mixed, and how."""

    partners: Tensor
    """(R,) numbers of regions."""
    shares: Tensor
    """(R,) omega, the own part; 1 where there is no partner."""


def draw_mixing(tags: Tensor, beta: float, rng: np.random.Generator, is_any: bool = False) -> Mixing:
    """Draw a partner for every region of a batch: of another photograph and another category.

    Args:
        tags: (B, T) categories of all photographs of a step; -1 for none.
        beta: Both parameters of the distribution of shares.
        rng: The same in all processes.
        is_any: Draw among all regions, its own too (RCA's code).

    Source: RCA, equation 5.
    """
    flat = tags.flatten().cpu().numpy()
    photographs = np.repeat(np.arange(len(tags)), tags.shape[1])
    fits = (is_any | (flat[:, None] != flat) & (photographs[:, None] != photographs)) & (flat >= 0)
    drawn = np.where(fits, rng.random(fits.shape), -1.0).argmax(1)
    shares = np.where(fits.any(1), rng.beta(beta, beta, len(flat)), 1.0)
    found = torch.from_numpy(drawn), torch.from_numpy(shares.astype(np.float32))
    return Mixing(*(each.to(tags.device) for each in found))
