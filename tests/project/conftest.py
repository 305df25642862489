"""The clone in which the pipeline has run once, for every test that needs one."""

from __future__ import annotations

import pytest

from tests.project.rooms import stage_folders
from tests.project.workspace import Workspace


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Tests that use it belong to the xdist group `end_to_end` and leave it finished."""
    workspace = Workspace(tmp_path_factory.mktemp("clone"))
    workspace.use()
    assert workspace.repro() == dict.fromkeys(stage_folders(), "ran")
    assert not list((workspace.path / ".checkpoints").glob("*/*")), "unfinished work is removed when a stage succeeds"
    return workspace
