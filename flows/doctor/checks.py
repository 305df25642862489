"""`luss doctor`: runs all checks and makes those of packages, params, locks and the port."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import yaml

from flows.doctor.categories import check_category_names
from flows.doctor.disk import check_cache_links, check_disk
from flows.doctor.environment import check_environment
from flows.doctor.finding import Finding
from flows.doctor.fingerprints import check_code
from flows.doctor.photographs import check_photographs
from flows.recipes.composing import stage_names
from flows.workspace.data_names import check_names
from flows.workspace.dvc_process import check_workspace
from flows.workspace.lock import RWLOCK, is_alive, read_holders
from stages.core.config.params import PARAMS_FILE
from stages.core.data import DATA
from stages.core.errors import UserError
from stages.core.words import how_many

SERVER_PORT = 4200
"""Of `prefect server start`; its UI calls no other one unless it is told."""

_NVIDIA_DRIVER = Path("/proc/driver/nvidia")
"""There where a GPU can be used; loading torch to ask takes seconds."""
_OLDEST_PYTHON = (3, 11)
_PACKAGES = ("torch", "timm", "dvc", "prefect", "fastapi", "numpy")
_BAD_FASTAPI = (0, 151)
_SAME_MODULE = {
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "faiss": ("faiss-cpu", "faiss-gpu", "faiss-gpu-cu12"),
}
"""Distributions that overwrite each other's files."""


def run_doctor() -> int:
    """Print all findings; returns the exit status, 1 if something must be corrected."""
    from rich.console import Console
    from rich.table import Table

    findings = list(examine())
    table = Table("check", "found", "what to do", title="luss doctor")
    for finding in findings:
        mark = "[green]ok[/]" if not finding.remedy else "[red]mend[/]" if finding.is_fatal else "[yellow]advice[/]"
        table.add_row(f"{mark} {finding.check}", finding.found, finding.remedy)
    Console().print(table)
    return int(any(finding.remedy and finding.is_fatal for finding in findings))


def examine() -> Iterator[Finding]:
    """Run every check in the current folder."""
    yield check_python()
    yield check_versions(_installed)
    yield from check_clashes(_installed)
    yield check_gpu()
    try:
        check_workspace()
    except UserError as error:
        yield Finding("workspace", "not a project", str(error))
        return
    yield check_params()
    yield check_code()
    yield check_category_names()
    yield check_data_names()
    yield check_photographs()
    yield check_lock_file(Path("dvc.lock"))
    yield check_disk(Path(), shutil.disk_usage(Path()).free)
    yield check_cache_links(Path())
    yield check_locks()
    yield check_port()
    yield from check_environment()


def check_python() -> Finding:
    """Python is new enough."""
    found = ".".join(map(str, sys.version_info[:3]))
    remedy = "" if sys.version_info >= _OLDEST_PYTHON else "make the environment with Python 3.11 or newer"
    return Finding("Python", found, remedy)


def check_versions(installed: Callable[[str], str | None]) -> Finding:
    """Required packages are installed."""
    missing = [name for name in _PACKAGES if installed(name) is None]
    found = ", ".join(f"{name} {installed(name)}" for name in _PACKAGES if name not in missing)
    return Finding("packages", found, f"pip install -e . (missing: {', '.join(missing)})" if missing else "")


def check_clashes(installed: Callable[[str], str | None]) -> Iterator[Finding]:
    """No packages are installed that break each other."""
    fastapi = installed("fastapi") or "0"
    if tuple(int(part) for part in fastapi.split(".")[:2]) >= _BAD_FASTAPI:
        yield Finding("clash", f"fastapi {fastapi}: no Prefect server starts with it", "pip install 'fastapi<0.151'")
    for module, distributions in _SAME_MODULE.items():
        several = [name for name in distributions if installed(name) is not None]
        if len(several) > 1:
            yield Finding(
                "clash",
                f"{' and '.join(several)} overwrite each other's `{module}`",
                f"pip uninstall -y {' '.join(several)}, then pip install -e .",
            )


def check_gpu() -> Finding:
    """A GPU that torch can use, if the machine has one."""
    if not _NVIDIA_DRIVER.exists():
        return Finding("GPU", "none: every stage runs on the CPU", "")
    import torch

    if not torch.cuda.is_available():
        return Finding("GPU", "none: every stage runs on the CPU", "")
    names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    # In a process of its own: faiss and torch bring a thread pool each.
    told = subprocess.run(
        [sys.executable, "-c", "import faiss; print(faiss.get_num_gpus())"], capture_output=True, text=True, check=False
    )
    sees = told.stdout.strip() not in ("", "0")
    remedy = "" if sees else "faiss sees no GPU, clustering takes the CPU: pip install -U faiss-gpu"
    return Finding("GPU", f"{', '.join(names)}; CUDA {torch.version.cuda}", remedy, is_fatal=False)


def check_params() -> Finding:
    """Every stage accepts its section of params.yaml."""
    import importlib

    from stages.core.config.params import load_section

    if not PARAMS_FILE.is_file():
        return Finding("parameters", f"no {PARAMS_FILE}", "luss use METHOD DATASET")
    try:
        for stage in stage_names():
            load_section(stage, importlib.import_module(f"stages.{stage}").Config)
    except UserError as error:
        return Finding("parameters", f"{PARAMS_FILE} is not valid", str(error))
    return Finding("parameters", f"{PARAMS_FILE} is valid")


def check_data_names(data: Path = DATA) -> Finding:
    """DVC can take every name below data/."""
    try:
        check_names(data)
    except UserError as error:
        return Finding("names", "some that DVC cannot take", str(error))
    return Finding("names", f"all in {data}/ are UTF-8" if data.is_dir() else f"no {data}/ yet")


def check_lock_file(path: Path) -> Finding:
    """dvc.lock is readable; a kill may have cut it off."""
    try:
        count = len(yaml.safe_load(path.read_text())["stages"]) if path.exists() else 0
    except (LookupError, TypeError, ValueError, yaml.YAMLError):
        return Finding("dvc.lock", "torn by a kill while DVC wrote it", "git checkout dvc.lock, then run on")
    return Finding("dvc.lock", f"{how_many(count, 'stage')} {'has' if count == 1 else 'have'} run")


def check_locks(path: Path = RWLOCK) -> Finding:
    """No process holds a lock of this workspace, and no dead one left one behind."""
    holders = read_holders(path)
    alive = {pid: command for pid, command in holders.items() if is_alive(pid)}
    if alive:
        found = "; ".join(f"process {pid}: {command}" for pid, command in sorted(alive.items()))
        return Finding("locks", found, "wait for it, or end it, before the next run", is_fatal=False)
    left = f"{len(holders)} left by processes that are gone; the next run drops them" if holders else "none"
    return Finding("locks", left)


def check_port(port: int = SERVER_PORT) -> Finding:
    """The port of the Prefect server is free, or a Prefect server has it."""
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", port)):
            return Finding("port", f"{port} is free: `prefect server start` will take it")
    if _is_prefect(port):
        return Finding("port", f"a Prefect server answers at http://127.0.0.1:{port}")
    return Finding(
        "port",
        f"{port} is in use by something else",
        "prefect config set PREFECT_SERVER_API_PORT=4201 PREFECT_SERVER_UI_API_URL=http://127.0.0.1:4201/api",
        is_fatal=False,
    )


def _is_prefect(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/health", timeout=5) as answer:
            return bool(json.load(answer) is True)
    except (OSError, ValueError):
        return False


def _installed(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
