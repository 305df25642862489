"""Numbers of classes and clusters, read off the ids in the files where they are not given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from stages.core.data import IGNORE_ID
from stages.core.errors import UserError
from stages.core.image_files import open_image, read_bytes
from stages.core.images.palette import category_colors
from stages.core.metrics.counting import list_problems
from stages.core.png_files import Int32, decode_mask, read_mask
from stages.core.progress import track
from stages.core.words import how_many

_PALETTE = b"\3"
"""Color type of a PNG whose pixels are indices of a palette."""
_VOID_IDS = (255, IGNORE_ID, 65535)
"""What data sets give to pixels that are not scored: the largest of 8 bits, ImageNet-S's, the largest of 16 bits."""

_MOST_IDS = 10_000
"""Higher ids are read only where their number is given: photographs in the place of masks have tens of thousands."""


def count_classes(folder: Path, masks: Sequence[Path], ignore: int) -> int:
    """The highest id of some masks.

    Args:
        folder: Where they lie, for messages.
        masks: Files.
        ignore: Id whose pixels do not count.

    Raises:
        UserError: There is none, or it looks like a mark for pixels that are not scored, or like a color.
    """
    ids, unreadable = _find_ids(masks, read_mask, "find the classes")
    scored = [each for each in ids if each != ignore]
    if not any(scored):
        if unreadable:
            raise UserError(
                list_problems(unreadable, f"{len(unreadable)} of {how_many(len(masks), 'mask')} cannot be read")
            )
        raise UserError(f"{folder}: no mask holds a class, only 0 and {ignore}; say how many there are with --classes")
    highest, next_below = scored[-1], max(scored[:-1], default=0)
    if highest in _VOID_IDS and next_below < highest - 1:
        raise UserError(
            f"{folder}: the highest id is {highest}, the next {next_below}: if {highest} marks pixels that are not "
            f"scored, add --ignore {highest}; if it is a class, add --classes {highest}"
        )
    _check_highest(folder, highest, "--classes")
    return highest


def count_clusters(folder: Path, predictions: Sequence[Path], classes: int) -> int:
    """The highest id of some predictions, at least the number of classes.

    Raises:
        UserError: It looks like a mark for pixels without a prediction, or like a color.
    """
    ids, _ = _find_ids(predictions, read_prediction, "find the clusters")
    highest, next_below = max(ids, default=0), max(ids[:-1], default=0)
    if highest in _VOID_IDS and next_below < highest - 1 and highest > classes:
        raise UserError(
            f"{folder}: the highest predicted id is {highest}, the next {next_below}: every pixel needs a prediction; "
            f"if {highest} is a cluster, add --clusters {highest}"
        )
    if highest > classes:
        _check_highest(folder, highest, "--clusters")
    return max(classes, highest)


def _check_highest(folder: Path, highest: int, option: str) -> None:
    if highest > _MOST_IDS:
        raise UserError(
            f"{folder}: the highest id is {highest}: these look like photographs, whose colors are no ids; name a "
            f"folder of masks, or add {option} {highest} if there are so many"
        )


def read_prediction(path: Path) -> Int32:
    """The ids of a prediction; those of `luss export masks`, with the palette of categories, are its indices.

    Other palettes are no ids: programs that make files smaller number the colors of an RGB mask as they like.

    Returns:
        (H, W) int32.

    Raises:
        UnreadableImage: As by `read_mask`.
    """
    data = read_bytes(path)
    return decode_mask(data, str(path), indexed=_has_category_colors(data, str(path)))


def _has_category_colors(data: bytes, name: str) -> bool:
    if data[25:26] != _PALETTE:
        return False
    with open_image(data, name) as image:
        colors = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
    used = colors.any(1)  # Numbers that are not shown are black, as the background is.
    return bool(used.any()) and np.array_equal(colors[used], category_colors(len(colors) - 1)[used])


def _find_ids(paths: Sequence[Path], read: Callable[[Path], Int32], label: str) -> tuple[list[int], list[str]]:
    """All ids in order, and a line for each file that cannot be read; the scoring lists these again."""
    found, unreadable = np.zeros(2**16, bool), []
    for path in track(paths, label=label):
        try:
            found[read(path)] = True
        except UserError as error:
            unreadable.append(str(error))
    return np.flatnonzero(found).tolist(), unreadable
