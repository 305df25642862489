"""Runs dvc as a subprocess that can be read and stopped with all of its children."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO

from stages.core.errors import UserError

INTERRUPTED = 130
NO_VARIABLES: Mapping[str, str] = {}

_ENDING = ((signal.SIGINT, 15.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
"""What a process group is sent, and how many seconds it then has. A stage answers SIGINT by keeping its work and
leaving; SIGTERM alone would end dvc and orphan the stage. All of it fits into the 30 s that a Prefect runner grants."""
_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_STRAGGLERS = 2.0
"""Seconds that a stage's own worker processes have to notice that their parent is gone."""


class DVCProcess:
    """`dvc ARGUMENTS` in the current workspace, in a process group of its own."""

    def __init__(
        self, arguments: Sequence[str], output: int | None = None, environment: Mapping[str, str] = NO_VARIABLES
    ) -> None:
        """Start it.

        Args:
            arguments: Of dvc.
            output: What takes stdout and stderr: `subprocess.PIPE` or a descriptor; by default the terminal.
            environment: Variables beside those of this process.
        """
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flows.workspace.dvc_child", *arguments],
            env={**_environment(), **environment},
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            text=True,
            start_new_session=True,
        )

    @property
    def output(self) -> IO[str] | None:
        """Its lines as they come, if they were asked for with `subprocess.PIPE`."""
        return self._process.stdout

    def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        return self._process.wait()

    def close(self) -> None:
        """Close the pipe of its output."""
        if self._process.stdout is not None:
            self._process.stdout.close()

    def stop(self) -> None:
        """End dvc and every process of its stage, gently first; a further Ctrl-C hastens it."""
        for number, patience in _ENDING:
            self._send(number)
            with suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
                self._process.wait(patience)
                break
        self._end_stragglers()

    def kill(self) -> None:
        """End it and its stage at once."""
        self._send(signal.SIGKILL)

    def _end_stragglers(self) -> None:
        deadline = time.monotonic() + _STRAGGLERS
        with suppress(KeyboardInterrupt):
            while time.monotonic() < deadline and self._send(0):
                time.sleep(0.05)
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> bool:
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return False
        return True


def run_dvc(arguments: Sequence[str]) -> int:
    """Run dvc on this terminal until it ends; Ctrl-C, SIGTERM and a closed terminal end it with its stage.

    Returns:
        Its exit status, or 130 if it was interrupted.
    """
    with signals_interrupt():
        process = DVCProcess(arguments)
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.stop()
            return INTERRUPTED


def check_workspace(root: Path = Path()) -> None:
    """Check that DVC can work in this folder.

    Raises:
        UserError: This is not the root of the project, or git does not know it.
    """
    here = root.resolve()
    if not (here / "dvc.yaml").is_file() or not (here / ".dvc").is_dir():
        raise UserError(
            f"{here} is not the root folder of the project (no dvc.yaml with .dvc beside it): "
            "change to the folder you cloned"
        )
    if not any((folder / ".git").exists() for folder in (here, *here.parents)):
        raise UserError(
            f"{here} is not a git repository, which DVC needs: clone the project with git, or run `git init` here"
        )


def check_writable(root: Path = Path()) -> None:
    """Check that stages and DVC can write in this folder.

    Raises:
        UserError: They cannot; the message says where.
    """
    for folder in (root, root / "artifacts", root / ".dvc", root / ".dvc/tmp", root / ".dvc/cache"):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise UserError(f"{folder.absolute()}: a run writes there, and it is not allowed to; check the permissions")


def _environment() -> dict[str, str]:
    # A stage's `python` is whatever PATH says: it shall be the one that runs now.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1"}


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Turn every signal that asks for the end into KeyboardInterrupt, also where SIGINT came in ignored (a `&` job).

    A handled signal is at its default again in the child, an ignored one would stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _interrupt) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
