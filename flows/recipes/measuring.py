"""Counts and measures the photographs of `data/` for recipes that are sized by them; opens few files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median_low
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf
from PIL import Image

from flows.recipes.reading import COUNTED
from stages.core.data import IMAGE_SUFFIXES
from stages.core.data_link import data_root
from stages.core.files import suffix_of, walk_files

MEASURED = ("photographs", "short_side")
"""Shared keys that a data set recipe may leave to be `counted`."""
REFERENCE = 1000
"""Photographs that methods' values for photographs of any number are for."""
_SIDE = 375
"""Short side where no photograph says another one: that of most photographs of Pascal VOC. Unit: pixels."""
_LARGE, _LARGE_SIDE, _SIDE_OF_FEW = 20_000, 256, 144
"""From so many photographs on they are seen at the size at which LUSS's code sees them; below at the smaller one that
what is known of few photographs was measured at."""
_HEADERS = 200
"""Photographs whose headers are read for their size."""


class Measured(NamedTuple):
    """What lies in a folder."""

    photographs: int
    """Files with the suffix of a photograph, but for empty ones and those of the sample that cannot be opened."""
    short_side: int
    """Median of a sample, in pixels; a usual one if there is none."""


def measure_photographs(root: Path) -> Measured:
    """Count the photographs below a folder by their names, and read the headers of an even sample of them.

    One that is cut short behind its header is counted: only `index`, which decodes all, finds it.
    """
    files = walk_files(root) if root.is_dir() else iter(())
    paths = sorted(path for path, entry in files if suffix_of(path) in IMAGE_SUFFIXES and _is_filled(entry))
    sampled = paths[:: max(1, len(paths) // _HEADERS)]
    sides = [side for path in sampled for side in _short_side(root / path)]
    return Measured(len(paths) - len(sampled) + len(sides), median_low(sides) if sides else _SIDE)


class Counted(NamedTuple):
    """What was counted for a recipe."""

    assignments: tuple[str, ...] = ()
    """For its values, so that it stands for the same sections later."""
    is_assumed: bool = False
    """Whether there were no photographs, so that `REFERENCE` stands in their place."""


def fill_counted(merged: DictConfig) -> Counted:
    """Fill in what a recipe leaves to be counted, in place."""
    left = [name for name in MEASURED if OmegaConf.select(merged, f"shared.{name}") == COUNTED]
    if not left:
        return Counted()
    measured = measure_photographs(data_root())
    limit = merged.index.get("limit") or measured.photographs
    found = {"photographs": min(measured.photographs, limit) or REFERENCE, "short_side": measured.short_side}
    for name in left:
        merged.shared[name] = found[name]
    return Counted(tuple(f"shared.{name}={found[name]}" for name in left), measured.photographs == 0)


def working_size(photographs: int, short_side: int) -> int:
    """Short side at which photographs are seen, in pixels; none is enlarged, but to 32 pixels at least."""
    return max(min(_LARGE_SIDE if photographs >= _LARGE else _SIDE_OF_FEW, short_side), 32)


def part(size: int, numerator: int, denominator: int) -> int:
    """A part of a size in pixels, to a multiple of 16, for networks halve it four times and more."""
    return max(round(size * numerator / denominator / 16), 1) * 16


def register_resolvers() -> None:
    """Let recipes say `${part:${shared.resize},4,3}` and `${working_size:...}`."""
    functions: dict[str, Any] = {"part": part, "working_size": working_size}
    for name, function in functions.items():
        OmegaConf.register_new_resolver(name, function, replace=True)


def _is_filled(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.stat().st_size > 0
    except OSError:  # a link that leads nowhere
        return False


def _short_side(path: Path) -> Iterator[int]:
    try:
        with Image.open(path) as image:
            yield min(image.size)
    except Exception:  # Decoders raise almost anything at a broken header; `index` lists such a file with its reason.
        return
