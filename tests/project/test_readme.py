"""The commands that are marked runnable in README and docs run; README's two long ones are what they claim."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.project.documents import PAGES, blocks, runnable
from tests.project.rooms import ROOT
from tests.project.workspace import Workspace

README = (ROOT / "README.md").read_text()
RUNNABLE = [
    pytest.param(block, id=f"{page.name}: {block.splitlines()[0]}")
    for page in PAGES
    for block in runnable(page.read_text())
]


@pytest.mark.slow
@pytest.mark.xdist_group("end_to_end")
@pytest.mark.parametrize("block", RUNNABLE)
def test_it_runs(finished: Workspace, tmp_path: Path, block: str) -> None:
    luss = tmp_path / "luss"
    luss.write_text(f'#!/bin/sh\nexec {sys.executable} -m flows "$@"\n')
    luss.chmod(0o755)
    environment = finished.environment
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=finished.path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_there_is_something_to_run() -> None:
    assert len(RUNNABLE) >= 3


def test_continuous_integration_runs_the_second_command() -> None:
    pattern = re.search(r"grep -m 1 '(.*)' README.md", (ROOT / ".ci/run").read_text())
    assert pattern
    found = [line for line in README.splitlines() if re.search(pattern[1], line)]
    assert found == [blocks(README)[1]]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yaml").read_text())
    assert ".ci/run" in [step.get("run") for step in workflow["jobs"]["tests"]["steps"]]


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_every_recipe_is_told(kind: str) -> None:
    methods = (ROOT / "docs/methods.md").read_text()
    for recipe in (ROOT / "flows/recipes" / kind).glob("*.yaml"):
        name = recipe.stem
        assert f"`{name}`" in methods
        assert kind == "datasets" or f"`{name}`" in README
