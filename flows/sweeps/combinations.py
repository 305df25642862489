"""Combinations of recipes and values: each a full, validated set of parameters, and which stages they share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import yaml

from flows.recipes.composing import Recipe, compose
from flows.recipes.overrides import overridden_sections
from flows.workspace.graph import Node
from stages.core.config.params import PARAMS_FILE
from stages.core.errors import UserError
from stages.core.hashing import hash_json

RECIPE = "recipe"
"""Key of a sweep that stands for a method recipe and not for a field."""

Sections = dict[str, dict[str, Any]]


class Combination(NamedTuple):
    """One point of a sweep or of a benchmark."""

    labels: dict[str, str]
    """What it differs in from the others: column and value."""
    sections: Sections
    """Every value of params.yaml."""

    @property
    def name(self) -> str:
        """Name of its DVC experiment; equal only for equal parameters."""
        said = "_".join(f"{key.rpartition('.')[2]}-{value}" for key, value in self.labels.items())
        return f"{re.sub('[^a-z0-9]+', '-', said.lower()).strip('-')[:48]}-{hash_json(self.sections)[:6]}"


def expand(assignments: Sequence[str], dataset: str = "") -> list[Combination]:
    """Every combination of the values that a sweep lists.

    Args:
        assignments: `recipe=swav,mine.yaml`, `cluster.k=50,100`, `cluster.seed=range(0,3)`: Hydra's syntax of sweeps.
            Without `recipe` the values change params.yaml as it is.
        dataset: Data set recipe for `recipe`; by default the one that params.yaml was written for.

    Raises:
        UserError: A key, recipe or value that is not valid, with the combination that has it.
    """
    chosen = [dict(_split(item) for item in items) for items in _product(assignments)]
    varied = [key for key in chosen[0] if len({values[key] for values in chosen}) > 1] or list(chosen[0])
    return [Combination({key: values[key] for key in varied}, _sections(values, dataset)) for values in chosen]


def dataset_of_params() -> str:
    """The data set recipe that params.yaml was written for.

    Raises:
        UserError: Its first line does not say.
    """
    head = PARAMS_FILE.read_text().partition("\n")[0] if PARAMS_FILE.is_file() else ""
    found = re.match(r"# Written by: luss use \S+ (\S+)", head)
    if not found:
        raise UserError(f"{PARAMS_FILE} does not say which data set it is for: add --dataset NAME")
    return found[1]


def experiment_overrides(sections: Sections, path: Any = PARAMS_FILE) -> list[str]:
    """Values for `dvc exp run -S` that put these sections in place of those in params.yaml.

    Whole sections: a field of another method must go, and `-S` alone would merge.
    """
    now = yaml.safe_load(path.read_text())
    return [
        told
        for stage, values in sections.items()
        if now.get(stage) != values
        for told in ([f"~{stage}"] if stage in now else []) + [f"+{stage}={_literal(values)}"]
    ]


def stage_keys(sections: Sections, nodes: Sequence[Node], data: str) -> dict[str, str]:
    """A key of each stage's result: equal for two combinations exactly if its parameters, inputs and data are equal."""
    keys: dict[str, str] = {}
    for node in nodes:
        if node.name in sections:
            needed = [keys.get(name, name) for name in node.needs]
            keys[node.name] = hash_json([node.name, sections[node.name], needed, data])[:24]
    return keys


def combination_dependencies(keys: Sequence[Mapping[str, str]]) -> list[set[int]]:
    """For each combination, the earlier ones that compute a stage of its own and that it therefore waits for."""
    first: dict[str, int] = {}
    for number, own in enumerate(keys):
        for key in own.values():
            first.setdefault(key, number)
    return [{first[key] for key in own.values()} - {number} for number, own in enumerate(keys)]


def _product(assignments: Sequence[str]) -> list[list[str]]:
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import get_hydra_sweeps
    from hydra.errors import HydraException

    if not assignments:
        raise UserError("nothing to sweep over: e.g. luss sweep cluster.k=10,20")
    try:
        return [combined[str(PARAMS_FILE)] for combined in get_hydra_sweeps({str(PARAMS_FILE): list(assignments)})]
    except (HydraException, DvcException, KeyError) as error:
        raise UserError(f"{' '.join(assignments)}: {str(error).splitlines()[0]}; write section.field=a,b,c") from None


def _split(assignment: str) -> tuple[str, str]:
    key, _, value = assignment.partition("=")
    return key, value


def _sections(values: Mapping[str, str], dataset: str) -> Sections:
    overrides = tuple(f"{key}={value}" for key, value in values.items() if key != RECIPE)
    if RECIPE not in values:
        if dataset:
            raise UserError("--dataset goes with recipes: add recipe=NAME")
        return overridden_sections(overrides)
    return compose(Recipe(values[RECIPE], dataset or dataset_of_params(), overrides))


def _literal(value: Any) -> str:
    """A value in Hydra's syntax, where strings in quotes stay strings."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_literal(part)}" for key, part in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_literal, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
