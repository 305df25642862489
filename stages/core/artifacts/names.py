"""names.yaml: what a person calls the categories, which of them are shown as one, and which are not shown.

Written by hand; nothing is trained by it. A category's number is its id in masks (cluster_id + 1) wherever it is shown,
its color the palette's of that number; what is merged takes the first number that its entry lists.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import yaml
from pydantic import Field, ValidationError, field_validator

from stages.core.artifacts.categories import centroid_hash as centroid_hash
from stages.core.artifacts.clusters import OUT
from stages.core.config.categories import SHORTEST_HASH as SHORTEST_HASH
from stages.core.config.categories import SplitCluster, check_splits, join_numbers
from stages.core.config.params import Params
from stages.core.errors import UserError, did_you_mean
from stages.core.files import read_text

NAMES_FILE = Path("names.yaml")
_BACKGROUND = "background"
_TOLD = 20
"""Most categories that a message lists."""
_PLAIN = {
    "string_type": "must be a text; put it in quotes",
    "tuple_type": "must be a list, as [1, 2]",
    "model_type": "must be fields with values, as {name: dog, ids: [1, 2]}",
    "model_attributes_type": "must be fields with values, as {name: dog, ids: [1, 2]}",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
}
"""What is wrong, by pydantic's name of the error, where its own words speak of Python."""


class NamedCategory(Params):
    """One entry: one category, or several that are shown as one."""

    name: str | None = Field(None, min_length=1, max_length=100)
    """None where several are one, or some are not shown, without a name."""
    ids: tuple[int, ...] = Field(min_length=1)
    """Numbers of categories, from 1; the first is what the entry is shown by."""
    hidden: bool = False
    """Whether it is not of interest: its pixels are shown as background, though it stays a category."""
    background: bool = False
    """Whether it is background: shown as that, and learnt as that after `luss names --apply`."""

    @property
    def title(self) -> str:
        """What messages call the entry."""
        return repr(self.name) if self.name else f"category {self.ids[0]}"

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str | None) -> str | None:
        if name is None:
            return name
        if not name.isprintable() or name != name.strip():
            raise ValueError("must be one line without space around it")
        if name.lower() == _BACKGROUND:
            raise ValueError("is what hidden categories become: give another name, and hidden: true")
        if re.fullmatch(r"category \d+", name):
            raise ValueError("is how categories without a name are called; give another name")
        return name


class NamesFile(Params):
    """What names.yaml holds."""

    centroids: str | None = Field(None, min_length=SHORTEST_HASH)
    """Hash of `artifacts/cluster/centroids.parquet`, or its first 12 digits or more: whose categories these are."""
    splits: tuple[SplitCluster, ...] = ()
    """Clusters to be cut into parts; until `luss names --apply`, and a run after it, they are shown as they are."""
    categories: tuple[NamedCategory, ...] = ()


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
        return _BACKGROUND if number == 0 else self.names.get(number, f"category {number}")

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
        return {0: _BACKGROUND} | {int(number): self.name(int(number)) for number in np.unique(self.shown) if number}


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
    content, lines = _read(path)
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


def read_names(path: Path = NAMES_FILE) -> NamesFile:
    """What the file holds, whether or not there are such clusters; nothing if there is no file.

    Raises:
        UserError: It is not as it should be; names line and field.
    """
    return _read(path)[0]


def encode_names(content: NamesFile) -> str:
    """The text of names.yaml."""
    head = "# What a person calls the categories; nothing is trained by it. docs/exports.md says how to fill it in.\n"
    values = content.model_dump(mode="json", exclude_defaults=True)
    splits = {"splits": values["splits"]} if content.splits else {}
    whole = {"centroids": content.centroids, **splits, "categories": values.get("categories", [])}
    return head + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


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


def _read(path: Path) -> tuple[NamesFile, dict[tuple[object, ...], int]]:
    """The content, and the line of every field by its place."""
    try:
        text = read_text(path) if path.is_file() else ""
        node = yaml.compose(text, yaml.SafeLoader)
        lines = _find_lines(node, path)
        return NamesFile.model_validate(yaml.safe_load(text) or {}), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {str(error).splitlines()[0]}") from None
    except ValidationError as error:
        # A field that does not exist says more than the one that is missing for it.
        problem = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
        place = next(place for end in range(len(problem["loc"]), -1, -1) if (place := problem["loc"][:end]) in lines)
        raise UserError(
            f"{path}:{lines[place]}: {_describe(problem['loc'], problem['type'], problem['msg'])}"
        ) from None


def _describe(place: tuple[int | str, ...], kind: str, message: str) -> str:
    field = ".".join(map(str, place)) or "the file"
    if kind == "extra_forbidden":
        known = (NamedCategory if len(place) > 1 else NamesFile).model_fields
        return f"{field}: no such field{did_you_mean(str(place[-1]), known)}; there are: {', '.join(known)}"
    told = _PLAIN.get(kind, message.removeprefix("Value error, "))
    if place == ("categories",) and kind == "tuple_type":
        told = "must be a list of entries, each as - {name: dog, ids: [1, 2]}"
    if not place:
        told = "must hold centroids: and categories:"
    return f"{field}: {told[:1].lower()}{told[1:]}"


def _find_lines(node: yaml.Node | None, path: Path) -> dict[tuple[object, ...], int]:
    """The line of every value by the keys and positions that lead to it.

    Raises:
        UserError: A key twice: YAML would forget the first without a word.
    """
    found: dict[tuple[object, ...], int] = {(): 1}

    def walk(node: yaml.Node, place: tuple[object, ...]) -> None:
        found[place] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            for number, child in enumerate(node.value):
                walk(child, (*place, number))
        if isinstance(node, yaml.MappingNode):
            for key, child in node.value:
                if (*place, key.value) in found:
                    raise UserError(f"{path}:{key.start_mark.line + 1}: {key.value}: stands here twice")
                walk(child, (*place, key.value))

    if node is not None:
        walk(node, ())
    return found
