"""Segmentation by neighbors: every pixel takes the class of the labelled regions whose features it resembles most.

Source: LUSS, distance matching protocol; settings as in PASS's scripts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.errors import UserError
from stages.core.faiss_ops import NeighborIndex, normalize_rows
from stages.core.metrics.kernels import Int64, UInt16

Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Bank:
    """Labelled regions."""

    vectors: Float32
    """(R, D) of length 1."""
    ids: Int64
    """(R,) class of each, 0 background."""

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "index"}

    @cached_property
    def index(self) -> NeighborIndex:
        """What looks for neighbors among them; each process makes its own, once."""
        return NeighborIndex(self.vectors)


class Voting(NamedTuple):
    """How neighbors vote. Source: PASS, k = 10, temperature 0.07."""

    neighbors: int = 10
    temperature: float = 0.07


def describe_regions(features: Float32, ids: UInt16, ignore: int) -> Bank:
    """One vector per id of an image, background included: its features summed, over all pixels.

    Args:
        features: (D, h, w) feature map.
        ids: (H, W) mask; it is read by nearest neighbor at the map's size.
        ignore: Id that is left out.
    """
    size, height, width = features.shape
    small = resize_nearest(ids, (height, width)).ravel()
    present = np.unique(small[small != ignore])
    masks = (small == present[:, None]).astype(np.float32)
    vectors = masks @ features.reshape(size, -1).T / np.float32(height * width)
    return Bank(normalize_rows(vectors), present.astype(np.int64))


def join_banks(banks: Iterable[Bank]) -> Bank:
    """All regions of several images.

    Raises:
        UserError: There is none.
    """
    parts = list(banks)
    if not sum(len(bank.ids) for bank in parts):
        raise UserError("distance matching: no labelled region to compare with; the masks hold ignored pixels only")
    return Bank(np.concatenate([bank.vectors for bank in parts]), np.concatenate([bank.ids for bank in parts]))


def segment_by_neighbors(features: Float32, bank: Bank, size: tuple[int, int], voting: Voting) -> UInt16:
    """Give every pixel the class with the largest sum of exp(cosine / temperature) over its neighbors.

    Args:
        features: (D, h, w) feature map.
        bank: Labelled regions.
        size: Height and width of the result, which is enlarged by nearest neighbor.
        voting: How neighbors vote.

    Returns:
        (H, W) class ids; the lowest on ties.
    """
    depth, height, width = features.shape
    pixels = normalize_rows(np.ascontiguousarray(features.reshape(depth, -1).T, np.float32))
    distances, rows = bank.index.search(pixels, min(voting.neighbors, len(bank.ids)))
    weights = np.exp((1 - distances.astype(np.float64) / 2) / voting.temperature)  # unit vectors: d^2 = 2 - 2 cos
    classes = int(bank.ids.max()) + 1
    places = np.arange(len(pixels))[:, None] * classes + bank.ids[rows]
    votes = np.bincount(places.ravel(), weights.ravel(), len(pixels) * classes).reshape(-1, classes)
    return resize_nearest(votes.argmax(1).astype(np.uint16).reshape(height, width), size)


def resize_nearest(ids: UInt16, size: tuple[int, int]) -> UInt16:
    """Read an id map at another size: each new pixel takes the old one that its place falls into.

    Args:
        ids: (H, W) id map.
        size: New height and width.
    """
    rows, columns = (np.arange(new) * old // new for new, old in zip(size, ids.shape, strict=True))
    return ids[np.ix_(rows, columns)]
