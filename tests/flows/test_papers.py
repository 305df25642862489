"""The lines of `docs/papers.md`: every command composes, to the values and the protocol that the line names."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple

import pytest
import yaml

from flows.recipes.composing import Recipe, compose
from flows.sweeps.benchmark_spec import read_benchmark_spec
from tests.project.rooms import ROOT

WEIGHTS = "pretrain.weights={path: weights.safetensors, origin: self_supervised_elsewhere}"
"""What `W` stands for there."""
PAPERS = ("LUSS", "MaskContrast", "RCA", "TransFGU", "ViCE")


class Line(NamedTuple):
    """One row of a paper's table."""

    table: str
    command: str
    values: tuple[str, ...]
    protocol: str
    departs: str


def read_lines() -> dict[str, list[Line]]:
    """The rows by paper."""
    text = (ROOT / "docs/papers.md").read_text()
    assert f"`pretrain.weights='{WEIGHTS.partition('=')[2]}'`" in text
    papers: dict[str, list[Line]] = {}
    for paper, body in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE):
        rows = [[cell.strip() for cell in row[1:-1].split(" | ")] for row in body.splitlines() if row.startswith("| ")]
        for table, command, values, protocol, departs in rows[1:]:
            found = tuple(re.findall(r"`([^`]+)`", values))
            papers.setdefault(paper, []).append(Line(table, command.strip("`"), found, protocol.strip("`"), departs))
    return papers


LINES = [pytest.param(line, id=f"{paper} {line.table}") for paper, lines in read_lines().items() for line in lines]


@pytest.fixture(scope="module", autouse=True)
def project(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A folder with the weights and masks that commands name."""
    folder = tmp_path_factory.mktemp("papers")
    shutil.copy(ROOT / "dvc.yaml", folder)
    (folder / "weights.safetensors").write_bytes(b"\x80weights")
    (folder / "masks").mkdir()
    (folder / "masks/1.png").write_bytes(b"mask")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield


@cache
def composed(command: str) -> dict[str, dict[str, Any]]:
    """The parameters that a command writes; of a benchmark those of its first row."""
    words = [WEIGHTS if word == "W" else word for word in shlex.split(command)]
    if words[:2] == ["luss", "use"]:
        return compose(Recipe(words[2], words[3], tuple(words[4:])))
    assert [*words[:2], words[3]] == ["luss", "benchmark", "--dataset"], command
    first = read_benchmark_spec(words[2]).rows[0]
    return compose(Recipe(first.recipe, words[4], first.values))


def value_at(sections: Mapping[str, Any], key: str) -> Any:
    found: Any = sections
    for name in key.split("."):
        found = found[name]
    return found


def test_every_paper_has_its_tables() -> None:
    assert tuple(read_lines()) == PAPERS
    assert all(len(line.departs) > 5 and line.values for lines in read_lines().values() for line in lines)


@pytest.mark.parametrize("line", LINES)
def test_a_line_says_what_its_command_composes(line: Line) -> None:
    sections = composed(line.command)
    assert sections["evaluate"]["protocol"] == line.protocol
    for value in line.values:
        key, _, told = value.partition("=")
        assert value_at(sections, key) == yaml.safe_load(told), value


def test_benchmarks_of_the_page_are_complete() -> None:
    """A list that follows a paper's table stands on the page."""
    text = (ROOT / "docs/papers.md").read_text()
    for path in sorted((ROOT / "flows/recipes/benchmarks").glob("*.yaml")):
        if re.search(r"\btables? \d", path.read_text().partition("rows:")[0]):
            assert f"luss benchmark {path.stem} " in text or path.stem == "methods", path.name
