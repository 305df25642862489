"""Bad environments: each as what a command is started with, and in."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.project.workspace import Workspace


class Surroundings(NamedTuple):
    """What a command is started with."""

    prefix: tuple[str, ...] = ()
    """Goes before it."""
    variables: Mapping[str, str | None] = {}
    """Of the environment; None takes one away."""
    limits: Callable[[], None] | None = None
    """Is called in its process before it starts."""
    folder: Path | None = None
    """Where it runs, if not in the workspace itself."""


UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search,-fowner")
"""root without the right to write where permissions forbid it."""
Missing = str
"""Why an environment cannot be made here."""


@contextmanager
def read_only_home(workspace: Workspace) -> Iterator[Surroundings]:
    home = workspace.path.parent / "home"
    with read_only(home):
        yield Surroundings(unprivileged(), {"HOME": str(home), "PREFECT_HOME": None, "XDG_CACHE_HOME": None})


@contextmanager
def no_home(workspace: Workspace) -> Iterator[Surroundings]:
    """As with `docker run --user 12345`: the folder is not there and cannot be made."""
    parent = workspace.path.parent / "parent"
    with read_only(parent):
        yield Surroundings(unprivileged(), {"HOME": str(parent / "nobody"), "PREFECT_HOME": None})


@contextmanager
def read_only_code(workspace: Workspace) -> Iterator[Surroundings]:
    """The code can be read alone, and HOME too: nothing compiled can be kept."""
    for cache in (workspace.path / "stages").rglob("__pycache__"):
        shutil.rmtree(cache)
    with read_only_home(workspace) as home, read_only(workspace.path / "stages"), read_only(workspace.path / "flows"):
        prefect = {"PREFECT_HOME": str(workspace.path.parent / "prefect")}
        yield home._replace(variables={**home.variables, **prefect, "PYTHONDONTWRITEBYTECODE": "1"})


@contextmanager
def read_only_project(workspace: Workspace) -> Iterator[Surroundings]:
    with read_only(workspace.path):
        yield Surroundings(unprivileged())


@contextmanager
def variables(_: Workspace, **given: str | None) -> Iterator[Surroundings]:
    yield Surroundings(variables=given)


@contextmanager
def limit(_: Workspace, which: int, value: int) -> Iterator[Surroundings]:
    hard = resource.getrlimit(which)[1]
    yield Surroundings(variables={"LUSS_WORKERS": "2"}, limits=lambda: resource.setrlimit(which, (value, hard)))


@contextmanager
def mounted(_: Workspace, place: str, options: str, **given: str) -> Iterator[Surroundings]:
    """A small disk of memory on a folder, for the command alone."""
    prefix = ("unshare", "-m", "sh", "-c", f'mount -t tmpfs -o {options} luss {place} && exec "$@"', "sh")
    yield Surroundings(prefix, given)


@contextmanager
def odd_path(workspace: Workspace) -> Iterator[Surroundings]:
    """Spaces, letters beyond ASCII, a quote."""
    folder = workspace.path.parent / "Änne's  photos 照片"
    if not folder.exists():
        folder.symlink_to(workspace.path)
    yield Surroundings(folder=folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Take the right to write from a folder and all that is in it."""
    folder.mkdir(exist_ok=True)
    modes = {path: path.stat().st_mode for path in (folder, *folder.rglob("*")) if not path.is_symlink()}
    for path, mode in modes.items():
        path.chmod(stat.S_IMODE(mode) & ~0o222)
    try:
        yield
    finally:
        for path, mode in modes.items():
            if path.exists():
                path.chmod(stat.S_IMODE(mode))


def unprivileged() -> tuple[str, ...]:
    return UNPRIVILEGED if os.geteuid() == 0 else ()


ENVIRONMENTS = {
    "read-only HOME": read_only_home,
    "no HOME": no_home,
    "read-only code": read_only_code,
    "read-only project": read_only_project,
    "LC_ALL=C": partial(variables, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    "a dumb terminal": partial(variables, TERM="dumb", NO_COLOR="1", COLUMNS="20"),
    "no folder for temporary files": partial(variables, TMPDIR="/nowhere"),
    "a long TMPDIR": partial(variables, TMPDIR="/tmp/" + "long" * 40),
    "a proxy": partial(variables, http_proxy="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9"),
    "64 open files": partial(limit, which=resource.RLIMIT_NOFILE, value=64),
    "files of at most 2 kB": partial(limit, which=resource.RLIMIT_FSIZE, value=2000),
    "small /dev/shm": partial(mounted, place="/dev/shm", options="size=4k", LUSS_WORKERS="3"),
    "read-only /tmp": partial(mounted, place="/tmp", options="ro", TMPDIR="/tmp", LUSS_WORKERS="2"),
    "a path with spaces and a quote": odd_path,
}
"""Each makes its surroundings for as long as a command runs."""


def start_in(surroundings: Surroundings, workspace: Workspace, command: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command there; one that does not end in two minutes fails."""
    environment = {**workspace.environment, **surroundings.variables}
    return subprocess.run(
        [*surroundings.prefix, *command],
        cwd=surroundings.folder or workspace.path,
        env={name: value for name, value in environment.items() if value is not None},
        preexec_fn=surroundings.limits,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        timeout=240,
        check=False,
    )


def can_start(surroundings: Surroundings) -> bool:
    """Whether the system lets this be made: mounting and giving up rights need some themselves."""
    if not surroundings.prefix:
        return True
    if shutil.which(surroundings.prefix[0]) is None:
        return False
    return subprocess.run([*surroundings.prefix, "true"], capture_output=True, check=False).returncode == 0
