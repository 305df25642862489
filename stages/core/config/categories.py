"""What a person makes of clusters before a segmenter learns them: some as one, in parts, or as background."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import Field

from stages.core.config.params import Params

SHORTEST_HASH = 12
"""Digits of the centroids' hash that must be given."""


class SplitCluster(Params):
    """A cluster that is cut into parts, by k-means among its own vectors."""

    id: int = Field(ge=1)
    """Number of the cluster, cluster_id + 1; it is no category any more."""
    parts: tuple[int, ...] = Field(min_length=2, max_length=20)
    """Numbers of the parts, the largest first; they go on where the clusters' numbers end."""


class CategoriesConfig(Params):
    """Categories that are not the clusters. Numbers stay what they are in `names.yaml`, the report and all masks."""

    centroids: str = Field(min_length=SHORTEST_HASH)
    """Hash of `artifacts/cluster/centroids.parquet`, or its first 12 digits or more: whose numbers these are."""
    splits: tuple[SplitCluster, ...] = ()
    """Clusters that are cut into parts."""
    merged: tuple[tuple[int, ...], ...] = ()
    """Categories that become one: that of the first number."""
    background: tuple[int, ...] = ()
    """Categories whose pixels are background."""

    def resolve(self, clusters: int) -> Numbering:
        """What becomes of each number.

        Args:
            clusters: K; their numbers are 1..K, the parts' K + 1 and on.

        Raises:
            ValueError: A number is none of a category, or stands in two places.
        """
        check_splits(self.splits, clusters)
        total = clusters + sum(len(split.parts) for split in self.splits)
        retired = {split.id: split.parts for split in self.splits}
        label, seen = np.arange(total + 1, dtype=np.uint16), set[int]()
        for numbers in (*self.merged, *((number, 0) for number in self.background)):
            for number in numbers:
                if number and not 1 <= number <= total:
                    raise ValueError(f"no category {number}; there are 1 to {total}")
                if number in retired:
                    raise ValueError(f"cluster {number} is cut into {join_numbers(retired[number])}; say those")
                if number in seen and number:
                    raise ValueError(f"category {number} stands in two places")
                seen.add(number)
        for numbers in self.merged:
            label[list(numbers)] = numbers[0]
        label[list(self.background)] = 0
        return Numbering(label, np.array([number for number in range(1, total + 1) if number not in retired], np.int64))


class Numbering(NamedTuple):
    """What becomes of the numbers of clusters and of parts."""

    label: npt.NDArray[np.uint16]
    """(K' + 1,) the category of each number; 0 for background, which 0 itself is."""
    kept: npt.NDArray[np.int64]
    """(k,) the numbers that vectors and pixels are compared by: of all but the clusters that are cut."""


def check_splits(splits: tuple[SplitCluster, ...], clusters: int) -> None:
    """Check that parts are numbered on from the clusters.

    Args:
        splits: The clusters that are cut.
        clusters: K.

    Raises:
        ValueError: They are not, or a cluster does not exist or is cut twice.
    """
    for position, split in enumerate(splits):
        if split.id > clusters:
            raise ValueError(f"splits: no cluster {split.id}; there are 1 to {clusters}")
        if split.id in [earlier.id for earlier in splits[:position]]:
            raise ValueError(f"splits: cluster {split.id} is cut twice; write all parts into one")
    parts = [part for split in splits for part in split.parts]
    if parts != (wanted := list(range(clusters + 1, clusters + len(parts) + 1))):
        raise ValueError(f"splits: parts must be numbered on from the clusters: {join_numbers(wanted)}")


def join_numbers(numbers: tuple[int, ...] | list[int]) -> str:
    """Numbers as a message lists them."""
    return ", ".join(map(str, numbers))
