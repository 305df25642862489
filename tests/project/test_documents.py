"""What README, CONTRIBUTING and docs say is so: commands and their options exist, links and paths lead somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from stages.core.config.params import models_by_method
from tests.benchmarks.__main__ import names as benchmark_names
from tests.project.documents import PAGES, commands, links, paths, split_command
from tests.project.rooms import ROOT, stage_folders

EXAMPLE = "columns"
"""The method that CONTRIBUTING adds; it is not there."""
GROUPS = {"exp", "metrics", "params", "plots", "stage", "export"}
"""Commands of DVC, and of `luss`, that take one more word."""
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@PAGE
def test_every_command_is_one(page: Path) -> None:
    for command in commands(page.read_text()):
        assert problem_of(command) == "", command


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("luss segment --images data", "no such command"),
        ("luss predict --pictures data", "no such option: --pictures"),
        ("luss run -X 3", "no such option: -X"),
        ("dvc reproduce", "no such command"),
        ("dvc repro --loud", "no such option: --loud"),
        ("python -m stages.segment", "no such module"),
        ("python -m tests.benchmarks spede", "no such benchmark"),
        ("cd data && luss sweep --dataset sample k=1", ""),
    ],
)
def test_a_wrong_command_is_caught(line: str, problem: str) -> None:
    assert [found for found in map(problem_of, split_command(line)) if found] == ([problem] if problem else [])


def problem_of(command: list[str]) -> str:
    """What is wrong with a command, as far as it can be told without running it; empty for nothing."""
    program, *words = command
    if program == "luss" and words:
        named = words[: 2 if words[0] in GROUPS else 1] if not words[0].startswith("-") else []
        return problem_of_options(words[len(named) :], help_of("flows", *named))
    if program == "dvc" and words:
        return problem_of_options(words[1:], help_of("dvc", *words[: 2 if words[0] in GROUPS else 1]))
    if program.startswith("python") and words[:1] == ["-m"]:
        return problem_of_module(words[1], words[2:])
    return ""


def problem_of_options(words: list[str], known: str) -> str:
    if not known:
        return "no such command"
    for word in words:
        option = word.partition("=")[0]
        if re.fullmatch(r"--?[A-Za-z][\w-]*", option) and not re.search(rf"(?<![\w-]){option}(?![\w-])", known):
            return f"no such option: {option}"
    return ""


@cache
def help_of(module: str, *names: str) -> str:
    """What `python -m MODULE NAME … --help` says; empty if there is no such command."""
    command = [sys.executable, "-m", module, *names, "--help"]
    environment = {**os.environ, "COLUMNS": "200"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else ""


def problem_of_module(module: str, words: list[str]) -> str:
    if module.partition(".")[0] not in ("stages", "flows", "tests") or "<" in module:
        return ""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        found = None
    if not found:
        return "no such module"
    if module == "tests.benchmarks" and words and words[0] != "NAME":
        return "" if set(words[0].split("|")) <= set(benchmark_names()) else "no such benchmark"
    return ""


@PAGE
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page.read_text()):
        assert (page.parent / target).exists(), target


@PAGE
def test_paths_of_code_are_there(page: Path) -> None:
    for path in sorted(paths(page.read_text())):
        assert EXAMPLE in path or (ROOT / path).exists(), path


def test_every_page_is_linked_from_the_readme() -> None:
    linked = links((ROOT / "README.md").read_text())
    for page in PAGES[1:]:
        assert page.relative_to(ROOT).as_posix() in linked


@pytest.mark.parametrize("stage", sorted(stage_folders()))
def test_the_methods_of_a_stage_are_told(stage: str) -> None:
    """In the table of `docs/methods.md`; a stage with one method needs no line."""
    methods = models_by_method(importlib.import_module(f"stages.{stage}").Config)
    row = re.search(rf"^\| `{stage}` \|(.*)", (ROOT / "docs/methods.md").read_text(), re.MULTILINE)
    told = row[1] if row else ""
    for method in methods if len(methods) > 1 else ():
        assert f"`{method}`" in told
