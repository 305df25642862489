"""A DVC experiment: a run of the pipeline with other parameters, in a temporary workspace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stages.core.errors import UserError


class Experiment(NamedTuple):
    """A run of the pipeline with other parameters, which DVC keeps under a name."""

    name: str
    changes: Sequence[str]
    """What `-S` is told."""

    @property
    def arguments(self) -> list[str]:
        """Arguments of dvc; without `--force`, which runs every stage, so `remove` one of this name first."""
        told = [part for change in self.changes for part in ("-S", change)]
        return ["--wait-for-lock", "exp", "run", "--temp", "--name", self.name, *told]

    @property
    def logs(self) -> Path:
        """Where its stages log their speed."""
        return Path("logs/experiments", self.name)

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables that put checkpoints and logs into this workspace, since the temporary one vanishes."""
        checkpoints = os.environ.get("LUSS_CHECKPOINTS", ".checkpoints")
        return {"LUSS_CHECKPOINTS": str(Path(checkpoints).absolute()), "LUSS_LOGS": str(self.logs.absolute())}

    def read(self, path: Path) -> str | None:
        """A file of the finished experiment, from git; None if there is no such experiment or file."""
        found = _git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{self.name}")
        return _git("show", f"{found.split()[-1]}:./{path}") if found else None

    def remove(self) -> None:
        """Remove an earlier experiment of the same name; its results stay in DVC's cache."""
        if _git("for-each-ref", f"refs/exps/*/*/{self.name}"):
            subprocess.run([sys.executable, "-m", "dvc", "exp", "remove", "-q", self.name], check=False)


def check_experiments() -> None:
    """Check that git and DVC can keep an experiment, which they do only at its end.

    Raises:
        UserError: They cannot; the message says why.
    """
    if shutil.which("git") is None:
        raise UserError("no `git` on PATH, in which DVC keeps experiments: install it")
    is_shallow = subprocess.run(
        ["git", "rev-parse", "--is-shallow-repository"], capture_output=True, text=True, check=False
    )
    if is_shallow.returncode:
        raise UserError(f"git cannot work here: {is_shallow.stderr.strip().splitlines()[0]}")
    if is_shallow.stdout.strip() == "true":
        raise UserError("this clone is shallow, in which DVC cannot keep experiments: git fetch --unshallow")
    if _git("rev-parse", "--verify", "HEAD") is None:
        raise UserError("nothing is committed yet, and DVC's experiments start from a commit: git add -A, git commit")
    if not os.access(folder := Path((_git("rev-parse", "--git-dir") or ".git").strip()), os.W_OK):
        raise UserError(f"{folder}: DVC keeps experiments there, and it cannot be written; check the permissions")


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
