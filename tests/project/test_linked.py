"""The whole pipeline on photographs that stay where they are: every out is, byte for byte, that of copies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from stages.core.data_link import LINK, ROOT_VARIABLE
from stages.core.hashing import hash_file
from tests.project.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("end_to_end")]

EVERY_STAGE = """
import importlib, yaml
from pathlib import Path
from stages.core.config.params import load_section

for stage in yaml.safe_load(Path("dvc.yaml").read_text())["stages"]:
    main = importlib.import_module(f"stages.{stage}.__main__").main
    main(load_section(stage, importlib.import_module(f"stages.{stage}").Config))
"""


def hashes(workspace: Workspace) -> dict[str, str]:
    files = [path for path in (workspace.path / "artifacts").rglob("*") if path.is_file()]
    return {str(path.relative_to(workspace.path)): hash_file(path) for path in files}


def link(workspace: Workspace, root: Path) -> None:
    """Move the photographs away, as files of another time, and link them."""
    shutil.move(workspace.path / "data", root)
    for path in root.rglob("*"):
        os.utime(path, (1, 1))
    done = workspace.run("-m", "flows", "data", "link", str(root))
    assert done.returncode == 0, done.stdout
    assert os.listdir(workspace.path / "data") == [LINK.name]


def test_linked_photographs_give_what_copies_give(finished: Workspace, tmp_path: Path) -> None:
    copied, root = hashes(finished), tmp_path / "photographs"
    link(finished, root)
    assert {stage for stage, what in finished.repro().items() if what != "unchanged"} == {"index"}
    for path in (finished.path / "artifacts").iterdir():
        shutil.rmtree(path)
    done = finished.run("-c", EVERY_STAGE)
    assert done.returncode == 0, done.stdout
    assert hashes(finished) == copied

    moved = root.rename(tmp_path / "moved")
    environment = {**finished.environment, ROOT_VARIABLE: str(moved)}
    for command, said in ((("dvc", "status"), "up to date"), (("flows", "data", "check"), "as they were linked")):
        told = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=finished.path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert said in told.stdout, told.stdout + told.stderr
