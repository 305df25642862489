"""names.yaml: what a person calls the categories, which of them are shown as one, and which are not shown.

Written by hand; nothing is trained by it. A category's number is its id in masks (cluster_id + 1) wherever it is shown,
its color the palette's of that number; what is merged takes the first number that its entry lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stages.core.artifacts.categories import centroid_hash
from stages.core.artifacts.clusters import OUT
from stages.core.artifacts.names_content import BACKGROUND, NAMES_FILE, NamesFile, read_lines
from stages.core.config.categories import SHORTEST_HASH, SplitCluster, check_splits, join_numbers
from stages.core.errors import UserError, did_you_mean

_TOLD = 20
"""Most categories that a message lists."""


class Naming(NamedTuple):
    """How the categories of a segmenter are shown."""

    shown: npt.NDArray[np.uint16]
    """(K + 1,) the number that each id of a mask is shown by; 0 for what is hidden."""
    names: dict[int, str]
    """Names given to numbers that are shown."""
    warning: str = ""
    """Why the names of the file are left out; empty if they are not, or if there are none."""

    def apply(self, mask: npt.NDArray[np.integer]) -> npt.NDArray[np.uint16]:
        """A mask of ids 0..K with merged categories as one and hidden ones as background."""
        shown: npt.NDArray[np.uint16] = self.shown[mask]
        return shown

    def name(self, number: int) -> str:
        """What a number is called, as `background`, `dog` or `category 3`."""
        return BACKGROUND if number == 0 else self.names.get(number, f"category {number}")

    def only(self, wanted: Sequence[str], option: str) -> Naming:
        """All but some categories as background.

        Args:
            wanted: Their names, or their numbers.
            option: The option of the command line, for the message.

        Raises:
            UserError: One of them is no category that is shown.
        """
        numbers = {name: number for number, name in self.legend.items() if number}
        numbers |= {str(number): number for number in numbers.values()}
        for name in wanted:
            if name not in numbers:
                there = list(self.legend.values())[1:]
                told = ", ".join(there[:_TOLD]) + (", ..." * (len(there) > _TOLD))
                raise UserError(f"{option} {name}: no such category{did_you_mean(name, numbers)}; there are: {told}")
        kept = [numbers[name] for name in wanted]
        return self._replace(shown=np.where(np.isin(self.shown, kept), self.shown, np.uint16(0)))

    @property
    def legend(self) -> dict[int, str]:
        """The names of all numbers that are shown, in order; background is the first."""
        return {0: BACKGROUND} | {int(number): self.name(int(number)) for number in np.unique(self.shown) if number}


def plain_naming(clusters: int, warning: str = "") -> Naming:
    """Every category is shown by its own number."""
    return Naming(np.arange(clusters + 1, dtype=np.uint16), {}, warning)


def read_naming(clusters: int, path: Path = NAMES_FILE, out: Path = OUT) -> Naming:
    """Read how the categories of this project's segmenter are shown.

    Args:
        clusters: K of the segmenter.
        path: The file; a project may lack it.
        out: The clusters that its hash is compared with; a model that was copied alone has none.

    Returns:
        The naming; without names, but with a warning, if the file speaks of other clusters than these.

    Raises:
        UserError: The file is not as it should be; names line and field.
    """
    content, lines = read_lines(path)
    if not content.categories and not content.splits:
        return plain_naming(clusters)
    found = centroid_hash(out)
    if content.centroids is None:
        raise UserError(
            f"{path}: centroids: say which clusters these names are of; "
            + (f"of those in {out}: centroids: {found[:SHORTEST_HASH]}" if found else f"there are none in {out}")
        )
    if found and not found.startswith(content.centroids):
        return plain_naming(
            clusters,
            f"{path} speaks of other clusters ({content.centroids[:SHORTEST_HASH]}) than {out} holds now "
            f"({found[:SHORTEST_HASH]}); its names are left out: `luss names --follow` takes over those that it can",
        )
    return _resolve(content, clusters, path, lines)


def check_names(content: NamesFile, clusters: int, path: Path = NAMES_FILE) -> None:
    """Check what is about to be written as `read_naming` would when it is read.

    Raises:
        UserError: A name or a number stands in two places, or there is no such number.
    """
    _resolve(content, clusters, path, {})


def _resolve(content: NamesFile, clusters: int, path: Path, lines: dict[tuple[object, ...], int]) -> Naming:
    naming, numbers = plain_naming(clusters), _Numbers(content.splits, clusters, path)
    title_of: dict[int, str] = {}
    for position, entry in enumerate(content.categories):
        line = lines.get(("categories", position))
        where = f"{path}:{f'{line}:' if line else ''} {entry.title}"
        if entry.name and entry.title in title_of.values():
            raise UserError(f"{where}: a name twice; write all ids into one entry to merge them")
        for one in entry.ids:
            numbers.check(one, where)
            if one in title_of:
                raise UserError(f"{where}: ids: category {one} stands in {title_of[one]} already")
            title_of[one] = entry.title
        # Parts of a cluster that are not learnt yet are in no mask.
        if learnt := [one for one in entry.ids if one <= clusters]:
            is_shown = not (entry.hidden or entry.background)
            naming.shown[learnt] = learnt[0] if is_shown else 0
            if is_shown and entry.name:
                naming.names[learnt[0]] = entry.name
    return naming


class _Numbers:
    """The numbers that entries may list."""

    def __init__(self, splits: tuple[SplitCluster, ...], clusters: int, path: Path) -> None:
        self._cut = {split.id: split.parts for split in splits}
        parts = [part for split in splits for part in split.parts]
        first = min([*parts, clusters + 1])  # Of a segmenter that has learnt them, the parts count among its clusters.
        try:
            check_splits(splits, first - 1)
        except ValueError as error:
            raise UserError(f"{path}: {error}") from None
        self._there = max([clusters, *parts])

    def check(self, number: int, where: str) -> None:
        if not 1 <= number <= self._there:
            raise UserError(f"{where}: ids: no category {number}; there are 1 to {self._there}")
        if number in self._cut:
            raise UserError(f"{where}: ids: cluster {number} is cut into {join_numbers(self._cut[number])}; name those")
