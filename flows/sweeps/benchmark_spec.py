"""Specification of a benchmark: rows of recipes with values, and the published numbers beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from flows.recipes.composing import Recipe, compose
from flows.recipes.reading import RECIPES, recipe_names
from flows.sweeps.combinations import Combination
from stages.core.config.params import Params
from stages.core.errors import UserError
from stages.core.files import read_text
from stages.evaluate.report.published import find_published

BENCHMARKS = RECIPES / "benchmarks"
SCORES = ("test.mIoU", "test.F", "test.accuracy", "train.NMI", "train.accuracy")
"""Columns where a list names no others."""
CHECKS = ("checks.stability", "checks.seeds", "checks.color", "checks.background", "checks.empty")
"""Columns of a sweep beside them where nothing is scored by masks; none is a score."""

_FIRST_OF_PROTOCOL = "extract"


class Protocol(Params):
    """A recipe whose later stages evaluate the row's pretrained representation."""

    recipe: str
    """Method recipe whose stages from `extract` on are taken."""
    values: tuple[str, ...] = ()
    """`section.field=value`, as `luss use` takes them."""


class Row(Params):
    """One row of the table."""

    row: str
    """What the table calls it."""
    recipe: str
    """Method recipe."""
    values: tuple[str, ...] = ()
    """`section.field=value`, as `luss use` takes them."""
    protocol: Protocol | None = None
    """null: the row's own recipe."""
    paper: dict[str, float] = Field(default_factory=dict)
    """Published value of a score, by its dotted name, in percent; in a file also `table/row` of the published numbers
    that come with the project, `stages/evaluate/report/published.yaml`."""

    @field_validator("paper", mode="before")
    @classmethod
    def _look_up(cls, value: object) -> object:
        return find_published(value) if isinstance(value, str) else value


class BenchmarkSpec(Params):
    """A benchmark's scores and rows."""

    scores: tuple[str, ...] = SCORES
    """Columns: dotted names in metrics.json; one that no row has is left out."""
    rows: tuple[Row, ...] = Field(min_length=1)
    """In the order of the table."""

    @property
    def paper(self) -> dict[str, dict[str, float]]:
        """The published values by row."""
        return {row.row: row.paper for row in self.rows}

    def combinations(self, dataset: str, seeds: int) -> dict[str, list[Combination]]:
        """One combination per row and seed, the seeds counted from 0.

        Raises:
            UserError: A recipe or value is not valid.
        """
        return {row.row: [_combination(row, dataset, seed) for seed in range(seeds)] for row in self.rows}


def benchmark_names() -> list[str]:
    """Names of the benchmarks that come with the project."""
    return sorted(path.stem for path in BENCHMARKS.glob("*.yaml"))


def read_benchmark_spec(what: str) -> BenchmarkSpec:
    """Read a benchmark by name or from a .yaml file, or make one of recipes with commas between.

    Raises:
        UserError: There is none of that name, or its file is not valid.
    """
    if what in benchmark_names():
        return _read(BENCHMARKS / f"{what}.yaml")
    if what.endswith(".yaml") and "," not in what and _is_lineup(Path(what)):
        return _read(Path(what))
    recipes = [name for name in what.split(",") if name]
    known = recipe_names("methods")
    unknown = [name for name in recipes if name not in known and not name.endswith(".yaml")]
    if unknown or not recipes:
        raise UserError(
            f"{what!r}: no such benchmark; there are: {', '.join(benchmark_names())}; "
            f"or recipes with commas between: {', '.join(known)}"
        )
    return BenchmarkSpec(rows=tuple(Row(row=Path(name).stem, recipe=name) for name in recipes))


def _is_lineup(path: Path) -> bool:
    return not path.is_file() or "rows" in (_load(path) or {})


def _read(path: Path) -> BenchmarkSpec:
    try:
        spec = BenchmarkSpec.model_validate(_load(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg'].removeprefix('Value error, ')}"
        ) from None
    names = [row.row for row in spec.rows]
    if len(set(names)) < len(names):
        raise UserError(f"{path}: two rows have the same name: {', '.join(names)}")
    return spec


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(read_text(path))
    except (OSError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not a valid list of rows: {error}") from None


def _combination(row: Row, dataset: str, seed: int) -> Combination:
    sections = compose(Recipe(row.recipe, dataset, (*row.values, f"shared.seed={seed}")))
    if row.protocol:
        judging = compose(Recipe(row.protocol.recipe, dataset, (*row.protocol.values, f"shared.seed={seed}")))
        names = list(sections)
        sections |= {name: judging[name] for name in names[names.index(_FIRST_OF_PROTOCOL) :]}
    return Combination({"row": row.row, "seed": str(seed)}, sections)
