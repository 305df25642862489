"""What stands in the fields of the page, as names.yaml, and back.

A cluster is called by its number, `3`; a part of one by cluster and part, `3.1`: parts get numbers when they are saved.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from stages.core.artifacts.names import check_names
from stages.core.artifacts.names_content import NamedCategory, NamesFile
from stages.core.config.categories import SplitCluster
from stages.core.config.params import Params
from stages.core.errors import UserError

Mark = Literal["", "hidden", "background"]


class Fields(Params):
    """What a person has typed."""

    names: dict[str, str] = Field(default_factory=dict)
    into: dict[str, str] = Field(default_factory=dict)
    """What is shown as another one, and as which."""
    marks: dict[str, Mark] = Field(default_factory=dict)
    parts: dict[int, int] = Field(default_factory=dict)
    """Clusters that are cut, and into how many parts."""

    def to_file(self, clusters: int, centroids: str) -> NamesFile:
        """What names.yaml is to say.

        Args:
            clusters: K.
            centroids: Hash of their centroids.

        Raises:
            UserError: A name twice, a name that cannot be one, or something merged into what does not exist.
        """
        splits, numbers = self._number(clusters)
        members, entries = self._merge(numbers), list[NamedCategory]()
        for key, number in numbers.items():
            name, mark = self.names.get(key, "").strip(), self.marks.get(key, "")
            if key in self.into or not (name or mark or members[key]):
                continue
            marks = {mark: True} if mark else {}
            try:
                entries.append(NamedCategory(name=name or None, ids=(number, *members[key]), **marks))
            except ValueError as error:
                raise UserError(f"category {key}: {name!r} {_tell(error)}") from None
        content = NamesFile(centroids=centroids, splits=splits, categories=tuple(entries))
        self._check_twice()
        check_names(content, clusters)
        return content

    def _number(self, clusters: int) -> tuple[tuple[SplitCluster, ...], dict[str, int]]:
        """The clusters that are cut, and the number of every key that there is."""
        numbers = {str(number): number for number in range(1, clusters + 1) if number not in self.parts}
        splits, following = [], clusters + 1
        for cluster, count in sorted(self.parts.items()):
            if not (1 <= cluster <= clusters and 2 <= count <= 20):
                raise UserError(f"category {cluster}: cannot be cut into {count} parts; take 2 to 20")
            splits.append(SplitCluster(id=cluster, parts=tuple(range(following, following + count))))
            numbers |= {f"{cluster}.{part}": following + part - 1 for part in range(1, count + 1)}
            following += count
        return tuple(splits), numbers

    def _merge(self, numbers: Mapping[str, int]) -> dict[str, list[int]]:
        members: dict[str, list[int]] = defaultdict(list)
        for key, leader in self.into.items():
            if key not in numbers:
                continue  # Of a cluster that was cut since.
            if leader not in numbers or leader in self.into or leader == key:
                raise UserError(f"category {key}: merged into {leader}, which is no category of its own")
            members[leader].append(numbers[key])
        return members

    def _check_twice(self) -> None:
        first: dict[str, str] = {}
        for key, name in self.names.items():
            if key in self.into or not name.strip():
                continue
            if name.strip() in first:
                raise UserError(
                    f"the name {name.strip()!r} twice, of {first[name.strip()]} and {key}: merge the two, or give one "
                    "of them another name"
                )
            first[name.strip()] = key


def fields_of(content: NamesFile) -> Fields:
    """The fields of a page that shows names.yaml."""
    keys = {part: f"{split.id}.{place}" for split in content.splits for place, part in enumerate(split.parts, 1)}
    names, into, marks = dict[str, str](), dict[str, str](), dict[str, Mark]()
    for entry in content.categories:
        first, *others = (keys.get(number, str(number)) for number in entry.ids)
        if entry.name:
            names[first] = entry.name
        if entry.hidden or entry.background:
            marks[first] = "background" if entry.background else "hidden"
        into |= dict.fromkeys(others, first)
    return Fields(names=names, into=into, marks=marks, parts={split.id: len(split.parts) for split in content.splits})


def fields_of_form(form: Mapping[str, str]) -> Fields:
    """The fields of a page that was sent without JavaScript, as `name-3`, `into-3`, `mark-3` and `parts-3`.

    Raises:
        UserError: A number of parts is none.
    """
    found: dict[str, dict[str, str]] = {"name": {}, "into": {}, "mark": {}, "parts": {}}
    for field, value in form.items():
        kind, _, key = field.partition("-")
        if kind in found and key and value.strip():
            found[kind][key] = value.strip()
    try:
        return Fields.model_validate(
            {"names": found["name"], "into": found["into"], "marks": found["mark"], "parts": found["parts"]}
        )
    except ValueError:
        raise UserError(f"parts must be whole numbers: {', '.join(found['parts'].values())}") from None


def _tell(error: ValueError) -> str:
    return str(error).splitlines()[2].strip().removeprefix("Value error, ").partition(" [type=")[0]
