"""What names.yaml holds, as a person writes it: entries of categories, and the line of whatever is wrong in it."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import Field, ValidationError, field_validator

from stages.core.config.categories import SHORTEST_HASH, SplitCluster
from stages.core.config.params import Params
from stages.core.errors import UserError, did_you_mean
from stages.core.files import read_text

NAMES_FILE = Path("names.yaml")
BACKGROUND = "background"
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
        if name.lower() == BACKGROUND:
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


def read_names(path: Path = NAMES_FILE) -> NamesFile:
    """What the file holds, whether or not there are such clusters; nothing if there is no file.

    Raises:
        UserError: It is not as it should be; names line and field.
    """
    return read_lines(path)[0]


def encode_names(content: NamesFile) -> str:
    """The text of names.yaml."""
    head = "# What a person calls the categories; nothing is trained by it. docs/exports.md says how to fill it in.\n"
    values = content.model_dump(mode="json", exclude_defaults=True)
    splits = {"splits": values["splits"]} if content.splits else {}
    whole = {"centroids": content.centroids, **splits, "categories": values.get("categories", [])}
    return head + yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)


def read_lines(path: Path) -> tuple[NamesFile, dict[tuple[object, ...], int]]:
    """What the file holds, nothing if there is none, and the line of every value by the keys and positions to it.

    Raises:
        UserError: It is not as it should be; names line and field.
    """
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
