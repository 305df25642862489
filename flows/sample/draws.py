"""Integer random numbers that are the same on every machine and with every library version.

A stream is the output of the SHAKE-128 function for a text key (FIPS 202), read in blocks: no generator of a library,
whose stream may change between versions, is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import shake_128
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
_Option = TypeVar("_Option")


class Draws:
    """An endless stream of random integers belonging to one text key."""

    def __init__(self, key: str) -> None:
        """Start the stream that belongs to `key`."""
        self._key = key
        self._block = 0

    def integers(self, low: int, high: int, count: int) -> Integers:
        """Draw `count` integers of [low, high], both included.

        The modulo's bias is below (high - low) / 2^32 and of no matter to a drawing.
        """
        self._block += 1
        stream = shake_128(f"{self._key}/{self._block}".encode()).digest(4 * count)
        return low + np.frombuffer(stream, dtype="<u4").astype(np.int64) % (high - low + 1)

    def integer(self, low: int, high: int) -> int:
        """Draw one integer of [low, high], both included."""
        return int(self.integers(low, high, 1)[0])

    def happens(self, percent: int) -> bool:
        """Draw an event that happens `percent` times out of 100."""
        return self.integer(0, 99) < percent

    def choice(self, options: Sequence[_Option]) -> _Option:
        """Draw one of the options, all equally likely."""
        return options[self.integer(0, len(options) - 1)]


def sine(degrees: int) -> int:
    """Return 1024 sin(degrees), within 2 units.

    Source: Bhaskara I's rational approximation (7th century): exact integer arithmetic, no float library involved.
    """
    half_turn, negative = degrees % 180, degrees % 360 >= 180
    product = half_turn * (180 - half_turn)
    value = 4096 * product // (40500 - product)
    return -value if negative else value


def cosine(degrees: int) -> int:
    """Return 1024 cos(degrees), within 2 units."""
    return sine(degrees + 90)
