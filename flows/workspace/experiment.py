"""A DVC experiment: the pipeline with other parameters, in a workspace of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Experiment(NamedTuple):
    """A run of the whole pipeline with other parameters, in a workspace of its own and kept by DVC under a name."""

    name: str
    changes: Sequence[str]
    """What `-S` is told."""

    @property
    def arguments(self) -> list[str]:
        """Of dvc. Never `--force`, which would run every stage: an experiment of the same name goes first."""
        told = [part for change in self.changes for part in ("-S", change)]
        return ["--wait-for-lock", "exp", "run", "--temp", "--name", self.name, *told]

    @property
    def logs(self) -> Path:
        """Where its stages log their speed."""
        return Path("logs/experiments", self.name)

    @property
    def environment(self) -> dict[str, str]:
        """Its workspace vanishes with it: what is unfinished, and the logs, lie in this one."""
        checkpoints = os.environ.get("LUSS_CHECKPOINTS", ".checkpoints")
        return {"LUSS_CHECKPOINTS": str(Path(checkpoints).absolute()), "LUSS_LOGS": str(self.logs.absolute())}

    def read(self, path: Path) -> str | None:
        """A file as git keeps it with the experiment; None if there is no such experiment or file."""
        found = _git("for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{self.name}")
        return _git("show", f"{found.split()[-1]}:./{path}") if found else None

    def remove(self) -> None:
        """Forget an earlier one of the same name; what it computed stays in DVC's cache."""
        if _git("for-each-ref", f"refs/exps/*/*/{self.name}"):
            subprocess.run([sys.executable, "-m", "dvc", "exp", "remove", "-q", self.name], check=False)


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout if done.returncode == 0 else None
