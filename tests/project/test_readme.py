"""The README's commands that are marked runnable run, and its two long ones are what they claim."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from flows.recipes.composing import recipe_names
from tests.project.rooms import ROOT
from tests.project.workspace import Workspace

README = (ROOT / "README.md").read_text()
RUNNABLE = re.findall(r"<!-- runnable -->\n```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines() if line]


@pytest.mark.slow
@pytest.mark.xdist_group("end_to_end")
@pytest.mark.parametrize("block", RUNNABLE, ids=lambda block: block.splitlines()[0])
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
    assert found == [COMMANDS[1]]
    workflow = yaml.safe_load((ROOT / ".github/workflows/tests.yaml").read_text())
    assert ".ci/run" in [step.get("run") for step in workflow["jobs"]["tests"]["steps"]]


def test_every_luss_command_in_it_is_one() -> None:
    told = subprocess.run(
        [sys.executable, "-m", "flows", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in set(re.findall(r"(?:`|^|/)luss ([a-z]\w+)", README, re.MULTILINE)):
        assert re.search(rf"^\W*{name} ", told.stdout, re.MULTILINE), name


@pytest.mark.parametrize("kind", ["methods", "datasets"])
def test_it_names_every_recipe(kind: str) -> None:
    for name in recipe_names(kind):
        assert f"`{name}`" in README
