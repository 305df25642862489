"""The memory of regions, one entry per photograph and category, and the centroids of each category's entries."""

from abc import ABC, abstractmethod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stages.core.engine.distributed import broadcast, gather, rank
from stages.core.faiss_ops import kmeans
from stages.pseudolabel.methods.rca.config import MemoryConfig
from stages.pseudolabel.methods.rca.regions import Known

Int64 = npt.NDArray[np.int64]
_ITERATIONS = 20
"""Of Lloyd's algorithm."""
_ENTRIES = 500
"""Of a category, where nothing else is asked for. RCA's code."""


def number_entries(ids: Int64, size: int | None, seed: int) -> tuple[Int64, Int64]:
    """Give every photograph and category that it shows an entry, or as many of each category as fit.

    Args:
        ids: (N, T) categories of photographs; -1 for none.
        size: Most entries of a category; None for all.
        seed: Of the draw.

    Returns:
        (N, T) number of the entry, -1 for none; and (E,) the category of every entry.
    """
    entries, owners = np.full(ids.shape, -1, np.int64), list[int]()
    for category in range(int(ids.max()) + 1):
        places = np.argwhere(ids == category)
        if size is not None and len(places) > size:
            places = places[np.sort(np.random.default_rng([seed, category]).permutation(len(places))[:size])]
        entries[places[:, 0], places[:, 1]] = len(owners) + np.arange(len(places))
        owners += [category] * len(places)
    return entries, np.array(owners, np.int64)


class Memory(nn.Module, ABC):
    """Vectors of regions, each of a category; all lie in buffers, so that checkpoints have them.

    Args:
        owners: (E,) category of every entry.
        size: D, channels of a region's vector.
        config: Its parameters.
    """

    def __init__(self, owners: Int64, size: int, config: MemoryConfig) -> None:
        super().__init__()
        self.config = config
        self.owners = nn.Buffer(torch.from_numpy(owners), persistent=False)
        self.entries = nn.Buffer(torch.zeros(len(owners), size))
        self.is_set = nn.Buffer(torch.zeros(len(owners), dtype=torch.bool))

    @property
    def known(self) -> Known:
        """All entries, and which of them have been set."""
        return Known(self.entries, torch.where(self.is_set, self.owners, -1))

    @abstractmethod
    def places(self, positions: Tensor, tags: Tensor) -> Tensor:
        """What `update` wants to know of the regions (B, T) of photographs (B,) with tags (B, T); -1 for none."""

    @abstractmethod
    def update(self, places: Tensor, regions: Tensor) -> None:
        """Take in the regions (R, D) of all processes, by their places (R,)."""

    def _move(self, numbers: Tensor, regions: Tensor) -> None:
        """Move entries (R,), each at most once, towards regions; one that was not set takes its region as it is."""
        kept = torch.where(self.is_set[numbers], self.config.momentum, 0.0)[:, None]
        self.entries[numbers] = kept * self.entries[numbers] + (1 - kept) * regions
        self.is_set[numbers] = True


class RegionMemory(Memory):
    """An entry for every photograph and category that it shows.

    Args:
        ids: (N, T) categories of the training photographs; -1 for none.
        size: D, channels of a region's vector.
        config: Its parameters.
        seed: Which photographs have an entry, where not all have.
    """

    def __init__(self, ids: Int64, size: int, config: MemoryConfig, seed: int) -> None:
        entries, owners = number_entries(ids, config.size, seed)
        super().__init__(owners, size, config)
        self.numbers = nn.Buffer(torch.from_numpy(entries), persistent=False)

    def places(self, positions: Tensor, tags: Tensor) -> Tensor:
        """The numbers of their entries; see `Memory.places`."""
        return self.numbers[positions]

    @torch.no_grad()
    def update(self, places: Tensor, regions: Tensor) -> None:
        """Move each region's own entry. Source: RCA, equation 3."""
        self._move(gather(places), gather(regions.float()))


class TurningMemory(Memory):
    """As many entries of each category, noise at first, that regions move in turn. Source: RCA's code.

    Args:
        categories: L
        size: D, channels of a region's vector.
        config: Its parameters.
    """

    def __init__(self, categories: int, size: int, config: MemoryConfig) -> None:
        self.each = config.size or _ENTRIES
        super().__init__(np.repeat(np.arange(categories), self.each), size, config)
        self.entries.normal_()
        self.is_set.fill_(True)
        self.turns = nn.Buffer(torch.zeros(categories, dtype=torch.long))

    def places(self, positions: Tensor, tags: Tensor) -> Tensor:
        """Their categories; see `Memory.places`."""
        return tags

    @torch.no_grad()
    def update(self, places: Tensor, regions: Tensor) -> None:
        """Move the next entries of the regions' categories; a step moves each entry at most once."""
        places, regions = gather(places), gather(regions.float())
        earlier = (places[:, None] == places).tril(-1).sum(1)  # regions of its category before it
        places, regions, earlier = (each[earlier < self.each] for each in (places, regions, earlier))
        self._move(places * self.each + (self.turns[places] + earlier) % self.each, regions)
        self.turns.add_(torch.bincount(places, minlength=len(self.turns)))


class Centroids(nn.Module):
    """K centroids of each category's entries.

    Args:
        categories: L
        count: K
        size: D
    """

    def __init__(self, categories: int, count: int, size: int) -> None:
        super().__init__()
        self.count = count
        self.vectors = nn.Buffer(torch.zeros(categories, count, size))
        self.is_set = nn.Buffer(torch.zeros(categories, count, dtype=torch.bool))

    @torch.no_grad()
    def find(self, known: Known, seed: int) -> None:
        """k-means over the entries of each category; fewer than K of them are centroids themselves.

        Source: RCA, section 3.2.4.
        """
        self.is_set.zero_()
        self.vectors.zero_()
        if rank() == 0:
            vectors, owners = known.vectors.cpu().numpy(), known.owners.cpu().numpy()
            for category in np.unique(owners[owners >= 0]):
                own = vectors[owners == category]
                found = own if len(own) <= self.count else kmeans(own, self.count, 1, _ITERATIONS, seed).centroids
                self.vectors[category, : len(found)] = torch.from_numpy(found).to(self.vectors)
                self.is_set[category, : len(found)] = True
        broadcast(self.vectors)
        broadcast(self.is_set)

    @property
    def found(self) -> Tensor:
        """(C, D) those of all categories, one after the other."""
        return self.vectors[self.is_set]
