"""The interface of a format: photographs with their masks go in one after the other, files come out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.names import Naming
from stages.core.artifacts.shards import write_atomically
from stages.core.errors import UserError
from stages.core.files import image_id_of
from stages.core.image_files import UInt8, is_upright, open_image
from stages.core.images.palette import color
from stages.core.png_files import encode_png

MOST_INDEXED = 254
"""Highest id that a PNG with a palette holds, besides 255, which tools take for pixels without a label."""


class Segmented(NamedTuple):
    """A photograph and what was found in it."""

    path: str
    """Of the photograph, relative to `root`."""
    root: Path
    """The folder of photographs."""
    image: UInt8
    """(H, W, 3), upright."""
    mask: npt.NDArray[np.uint16]
    """(H, W) numbers as they are shown; 0 is background."""


class Writer(ABC):
    """Writes one format into a folder."""

    def __init__(self, out: Path, naming: Naming) -> None:
        self.out, self.naming = out, naming
        self._taken: set[str] = set()

    @property
    def colors(self) -> dict[int, tuple[int, int, int]]:
        """RGB of each number that is shown; background is black."""
        return {number: color(number) if number else (0, 0, 0) for number in self.naming.legend}

    @abstractmethod
    def add(self, one: Segmented) -> None:
        """Write what belongs to one photograph."""

    @abstractmethod
    def finish(self) -> str:
        """Write what belongs to all, and say in a line how the result is used."""

    def name(self, path: str) -> str:
        """A photograph's name without its suffix, with it where another one has the same."""
        short = image_id_of(path)
        name = path if short in self._taken else short
        self._taken.add(name)
        return name

    def check_palette(self) -> None:
        """Raise where a number does not fit into a mask of 8 bits.

        Raises:
            UserError: There are too many categories.
        """
        if (most := max(self.naming.legend)) > MOST_INDEXED:
            raise UserError(
                f"--format: this one holds categories up to {MOST_INDEXED}, found {most}; "
                "merge some in names.yaml, or take coco or label-studio"
            )


def copy_photograph(one: Segmented, target: Path) -> Path:
    """Put a photograph beside its mask: the file itself, or, where it is stored turned, its upright pixels as PNG.

    Args:
        one: The photograph.
        target: Where it goes, without a suffix.

    Returns:
        The file written.
    """
    source = one.root / one.path
    data = source.read_bytes()
    with open_image(data, str(source)) as image:
        is_plain = is_upright(image) and (image.height, image.width) == one.mask.shape
    path = target.with_name(target.name + (source.suffix if is_plain else ".png"))
    write_atomically(path, data if is_plain else encode_png(one.image))
    return path
