"""Checks of folders that a run writes to, and of the system's limits."""

from __future__ import annotations

import os
import resource
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

from flows.doctor.finding import Finding
from flows.workspace.dvc_process import check_writable
from flows.workspace.experiment import check_experiments
from stages.core.caches import compiled_loops
from stages.core.errors import UserError

SHARED_MEMORY = Path("/dev/shm")

_LITTLE_SHARED_MEMORY = 1 << 30
"""Bytes; a few batches of several loading processes, at the sizes of ImageNet."""
_FEW_FILES = 256


def check_environment() -> Iterator[Finding]:
    """Run the checks of this module."""
    yield check_folders()
    yield check_git()
    yield check_server()
    yield check_compiled_loops(Path(__file__).parents[2] / "stages", compiled_loops())
    if SHARED_MEMORY.is_dir():
        yield check_shared_memory(shutil.disk_usage(SHARED_MEMORY).total)
    yield check_open_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def check_folders() -> Finding:
    """Stages and DVC can write to their folders."""
    try:
        check_writable()
    except UserError as error:
        return Finding("folders", "a run cannot write here", str(error))
    return Finding("folders", "artifacts and DVC's own can be written")


def check_git() -> Finding:
    """Git works here, which DVC needs for experiments."""
    try:
        check_experiments()
    except UserError as error:
        return Finding("experiments", "`luss sweep` and `luss benchmark` cannot keep any", str(error), is_fatal=False)
    return Finding("experiments", "git can keep them")


def check_server() -> Finding:
    """The Prefect server that is set answers, or a temporary one can start."""
    # It is told below, in one line.
    warnings.filterwarnings("ignore", message="Failed to create the Prefect home")
    from prefect.settings import PREFECT_API_URL

    from flows.server.address import check_address
    from flows.server.database import check_database, database_file

    try:
        url = check_address(PREFECT_API_URL.value())
        if url is None:
            check_database(database_file())
    except UserError as error:
        return Finding("Prefect", "`luss run` has no server; `dvc repro` needs none", str(error))
    return Finding("Prefect", f"`luss run` reports to {url}" if url else "`luss run` starts a server of its own")


def check_compiled_loops(code: Path, cache: Path) -> Finding:
    """Numba can keep its compiled code in a cache."""
    if _can_write(cache):
        return Finding("compiled loops", f"are kept in {cache}")
    if all(_can_write(folder / "__pycache__") for folder in (code / "core/images", code / "core/metrics")):
        return Finding("compiled loops", "are kept beside the code")
    remedy = "set NUMBA_CACHE_DIR to a folder that can be written: saves half a minute at every start"
    return Finding("compiled loops", "cannot be kept, every process compiles them anew", remedy, is_fatal=False)


def check_shared_memory(total: int) -> Finding:
    """Shared memory has room for batches of the data loader."""
    found = f"{total / 1e9:.2f} GB of shared memory"
    remedy = "docker run --shm-size=8g, or LUSS_WORKERS=1" if total < _LITTLE_SHARED_MEMORY else ""
    return Finding("/dev/shm", found, remedy, is_fatal=False)


def check_open_files(limit: int) -> Finding:
    """The limit of open files is high enough for data loaders and servers."""
    remedy = f"ulimit -n {_FEW_FILES} or more" if 0 <= limit < _FEW_FILES else ""
    return Finding("open files", "any number" if limit < 0 else f"up to {limit}", remedy, is_fatal=False)


def _can_write(folder: Path) -> bool:
    nearest = next(place for place in (folder, *folder.parents) if place.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK)
