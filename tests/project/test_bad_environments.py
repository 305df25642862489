"""In a bad environment every command does its work, or says in one line why not: no traceback, no hang."""

from __future__ import annotations

import sys

import pytest

from tests.project.environments import ENVIRONMENTS, can_start, start_in
from tests.project.workspace import Workspace

COMMANDS = {
    "doctor": ["-m", "flows", "doctor"],
    "predict": ["-m", "flows", "predict", "--images", "data/test", "--out", "predictions"],
    "repro": ["-m", "dvc", "repro", "--force", "--single-item", "saliency", "extract"],
    "run": ["-m", "flows", "run", "-S", "cluster.iterations=25"],
}
SCORE = "from flows.cli.app import main; main()"


@pytest.mark.long
@pytest.mark.xdist_group("end_to_end")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_it_works_or_says_why_not(finished: Workspace, environment: str, command: str) -> None:
    with ENVIRONMENTS[environment](finished) as surroundings:
        if not can_start(surroundings):
            pytest.skip(f"{environment}: cannot be made without further rights")
        done = start_in(surroundings, finished, [sys.executable, *COMMANDS[command]])
    assert "Traceback" not in done.stdout, done.stdout
    if done.returncode and command == "predict":
        said = [line for line in done.stdout.splitlines() if not line.startswith("[progress]")]
        assert len(said) == 1, done.stdout
    if done.returncode:
        assert done.returncode in (1, 255), done.stdout
        assert done.stdout.strip(), "it says why"
