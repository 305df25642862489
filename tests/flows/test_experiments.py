"""What git and DVC cannot keep is told before the first stage runs."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from flows.workspace.experiment import check_experiments
from stages.core.errors import UserError


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "protocol.file.allow=always"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def committed(project: Path) -> Path:
    """An empty project with a commit, which is the current folder."""
    git("add", "-A")
    git("commit", "-q", "-m", "start")
    return project


def test_a_whole_clone_will_do() -> None:
    check_experiments()


def test_a_shallow_clone_is_refused(
    committed: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("commit", "-q", "--allow-empty", "-m", "second")
    clone = tmp_path_factory.mktemp("shallow") / "clone"
    git("clone", "-q", "--depth", "1", committed.as_uri(), str(clone))
    monkeypatch.chdir(clone)
    with pytest.raises(UserError, match=r"shallow, .*: git fetch --unshallow"):
        check_experiments()


def test_a_project_without_a_commit_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("unborn"))
    git("init", "-q")
    with pytest.raises(UserError, match="nothing is committed yet"):
        check_experiments()


def test_a_machine_without_git_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UserError, match="no `git` on PATH"):
        check_experiments()


def test_what_git_itself_says_is_told(committed: Path) -> None:
    (committed / ".git/config").write_text("[core")
    with pytest.raises(UserError, match="git cannot work here: fatal: bad config"):
        check_experiments()
