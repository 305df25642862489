"""What can happen to a run: a process is killed, the disk is full, files may not be opened or grow."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from tests.project.processes import live_family

SMALL_DISK = 600 << 20
"""Bytes of a disk that may be filled."""


class Run:
    """A run that is being disturbed."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self.folder = process, folder
        self._seen: dict[int, psutil.Process] = {}

    def family(self) -> list[psutil.Process]:
        """Every process that it has started, as far as it was seen."""
        for process in live_family(self.process.pid):
            self._seen.setdefault(process.pid, process)
        return [process for process in self._seen.values() if process.pid != self.process.pid]

    def find(self, *words: str) -> list[psutil.Process]:
        """Its processes whose command line has one of these words in it."""
        found = []
        for process in self.family():
            with suppress(psutil.Error):
                if any(word in " ".join(process.cmdline()) for word in words):
                    found.append(process)
        return found

    def wait_for(self, word: str, log: Path) -> None:
        """Let it run until it has said something."""
        while word not in log.read_text(errors="replace") and self.process.poll() is None:
            self.family()
            time.sleep(0.1)

    def wait_quietly(self, seconds: float) -> None:
        """Let it run for a while, and see what it starts."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            self.family()
            time.sleep(0.1)

    def wait_while_it_speaks(self, log: Path, patience: float) -> int | None:
        """Its exit status; None, and it is killed, if nothing more is heard of it for so many seconds."""
        heard, deadline = -1, time.monotonic() + patience
        while self.process.poll() is None:
            self.family()
            if (size := log.stat().st_size) != heard:
                heard, deadline = size, time.monotonic() + patience
            if time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                return None
            time.sleep(0.2)
        return self.process.returncode


class Disturbance:
    """Something that happens to a run."""

    command = "luss run"

    @property
    def arguments(self) -> list[str]:
        return ["-m", "flows", "run"] if self.command == "luss run" else ["-m", "dvc", "repro"]

    def limits(self, rng: random.Random) -> Callable[[], None] | None:
        """What the process does before it starts."""
        return None

    def act(self, run: Run, rng: random.Random) -> None:
        """Disturb it."""

    def undo(self, run: Run) -> None:
        """Make everything as it was."""


class KillStage(Disturbance):
    """One of the stage's processes is killed, as by the out-of-memory killer."""

    command = "dvc repro"

    def act(self, run: Run, rng: random.Random) -> None:
        if found := run.find("-m stages.", "multiprocessing"):
            kill(rng.choice(found))


class KillGroup(Disturbance):
    """dvc and its stage are killed."""

    command = "dvc repro"

    def act(self, run: Run, rng: random.Random) -> None:
        with suppress(ProcessLookupError):
            os.killpg(run.process.pid, signal.SIGKILL)


class KillFlow(Disturbance):
    """`luss run` itself is killed."""

    def act(self, run: Run, rng: random.Random) -> None:
        with suppress(ProcessLookupError):
            run.process.kill()


class KillServer(Disturbance):
    """The Prefect server is killed."""

    def act(self, run: Run, rng: random.Random) -> None:
        for process in run.find("flows.server.temporary"):
            kill(process)


class FillDisk(Disturbance):
    """Nothing more fits on the disk, or next to nothing."""

    command = "dvc repro"

    def act(self, run: Run, rng: random.Random) -> None:
        free = shutil.disk_usage(run.folder).free
        size = free - rng.choice([0, 4096, 65536, 1 << 20])
        with suppress(OSError):
            descriptor = os.open(run.folder / "ballast", os.O_CREAT | os.O_WRONLY)
            os.posix_fallocate(descriptor, 0, max(size, 1))
            os.close(descriptor)

    def undo(self, run: Run) -> None:
        (run.folder / "ballast").unlink(missing_ok=True)


class Limited(Disturbance):
    """A limit of the system that holds from the start."""

    command = "dvc repro"

    def __init__(self, limit: int, values: Sequence[int]) -> None:
        self._limit, self._values = limit, values

    def limits(self, rng: random.Random) -> Callable[[], None]:
        value = rng.choice(self._values)
        hard = resource.getrlimit(self._limit)[1]
        return lambda: resource.setrlimit(self._limit, (value, hard))


def is_small_disk(folder: Path) -> bool:
    """Whether it may be filled: nothing else lies on it."""
    return shutil.disk_usage(folder).total <= SMALL_DISK


def enter_small_disk(folder: Path) -> None:
    """Start this program once more with a small disk of memory mounted on a folder; returns where that is not allowed.

    Nobody else sees the disk, and it ends with the program.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mount = 'mount -t tmpfs -o size="$0" luss "$1" && shift && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mount, str(SMALL_DISK), str(folder), sys.executable]
    if (
        shutil.which("unshare")
        and subprocess.run([*command, "-c", ""], capture_output=True, check=False).returncode == 0
    ):
        os.execvp(command[0], [*command, *sys.orig_argv[1:]])


def kill(process: psutil.Process) -> None:
    with suppress(psutil.Error):
        process.kill()


DISTURBANCES: dict[str, Disturbance] = {
    "a process of the stage is killed": KillStage(),
    "dvc and its stage are killed": KillGroup(),
    "the flow is killed": KillFlow(),
    "the server is killed": KillServer(),
    "the disk is full": FillDisk(),
    "files may not grow": Limited(resource.RLIMIT_FSIZE, [1 << power for power in range(9, 20)]),
    "few files may be open": Limited(resource.RLIMIT_NOFILE, range(16, 120, 8)),
}
