"""Folders that keep unfinished work (shards, checkpoints) of a killed run, for the next run to resume."""

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from stages.core.config.params import Params
from stages.core.data import ARTIFACTS
from stages.core.errors import UserError
from stages.core.fingerprint import NO_METHOD, code_fingerprint
from stages.core.hashing import hash_json

_PROJECT = Path(__file__).resolve().parents[2]
"""Where the code lies that runs."""


def work_key(stage: str, config: Params, inputs: Mapping[str, str]) -> str:
    """Key of a run's unfinished work: equal only if parameters, code and every input are equal.

    Args:
        stage: The stage, whose code counts.
        config: The stage's resolved parameters.
        inputs: Content hash of each input artifact, by name.
    """
    code = code_fingerprint(stage, getattr(config, "method", NO_METHOD), _PROJECT)
    told = {"params": config.model_dump(mode="json"), "code": code, "inputs": dict(inputs)}
    return hash_json(told)[:24]


@contextmanager
def resumable_work(stage: str, config: Params, inputs: Mapping[str, str]) -> Iterator[Path]:
    """A directory that survives a killed run and is removed when the block succeeds and DVC can take what it made.

    Lies in `$LUSS_CHECKPOINTS` (default `.checkpoints/`), outside DVC, which deletes a stage's outs before it runs.

    Raises:
        UserError: Another process works on the same.
    """
    work = Path(os.environ.get("LUSS_CHECKPOINTS", ".checkpoints")) / stage / work_key(stage, config, inputs)
    work.mkdir(parents=True, exist_ok=True)
    if "TORCHELASTIC_RUN_ID" in os.environ:  # One of several that train together; who started them holds the lock.
        yield work
        return
    with (work / "lock").open("a+b") as lock:
        _acquire(lock, stage, work)
        yield work
        if _has_room_for_copy(ARTIFACTS / stage):
            shutil.rmtree(work)
        else:
            print(
                f"{work}: kept, since the disk has no room for DVC's copy of {ARTIFACTS / stage}; delete it when the "
                "run is through",
                file=sys.stderr,
                flush=True,
            )


def _has_room_for_copy(artifact: Path) -> bool:
    """Whether DVC can take a finished artifact into its cache: if it cannot, the stage runs again."""
    size = sum(path.stat().st_size for path in artifact.rglob("*") if path.is_file())
    return not size or shutil.disk_usage(artifact).free > size


def _acquire(lock: BinaryIO, stage: str, work: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().decode() or "unknown"
        raise UserError(
            f"{work}: process {holder} works on '{stage}' with the same parameters; wait or stop it"
        ) from None
    lock.truncate(0)
    lock.write(str(os.getpid()).encode())
    lock.flush()
