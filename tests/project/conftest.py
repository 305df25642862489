"""The clone in which the pipeline has run once, for every test that needs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.project.rooms import stage_folders
from tests.project.workspace import Workspace


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Run every stage and commit what came out."""
    workspace = Workspace(tmp_path_factory.mktemp("clone"))
    workspace.use()
    assert workspace.repro() == dict.fromkeys(stage_folders(), "ran")
    assert not list((workspace.path / ".checkpoints").glob("*/*")), "unfinished work is removed when a stage succeeds"
    workspace.commit("finished")
    return workspace


@pytest.fixture
def finished(clone: Workspace) -> Iterator[Workspace]:
    """The clone as it was after its run; what a test changes there no other test sees.

    The xdist group `end_to_end` keeps its tests on one worker, so that the pipeline runs once.
    """
    yield clone
    clone.restore()
