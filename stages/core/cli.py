"""Runs a stage as a command, `python -m stages.<stage>`: params, errors as messages, exit status."""

import argparse
import errno
import io
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import Any

from stages.core.config.params import PARAMS_FILE, load_section
from stages.core.data import ARTIFACTS
from stages.core.errors import UserError
from stages.core.fingerprint import NO_METHOD, check_fingerprint, is_project
from stages.core.parent import exit_with_parent, ignore_signals

WORKER_NUMBER = "LUSS_WORKER_NUMBER"
"""Variable that tells a process its `worker_number`."""

_INTERRUPTED = 130
_share: ContextVar[int | None] = ContextVar("share", default=None)


def run_stage(stage: str, config_type: Any, main: Callable[[Any], None]) -> None:
    """Run a stage as a command with its section of params.yaml; ends the process with an exit code.

    Exit codes: 0 done, 1 something the user can mend (one message, no traceback), 130 interrupted. A stage that DVC
    started is interrupted when DVC has ended, even by a kill; any other goes on without who started it.
    """
    module = sys.modules["__main__"].__spec__
    parser = argparse.ArgumentParser(
        prog=f"python -m {module.name.removesuffix('.__main__')}" if module else None,
        description=(main.__doc__ or "").partition("\n\n")[0],
    )
    params_help = f"YAML file whose section '{stage}' holds the parameters (default: %(default)s)"
    parser.add_argument("--params", type=Path, default=PARAMS_FILE, help=params_help)
    path = parser.parse_args().params

    def work() -> None:
        if "DVC_STAGE" in os.environ:
            exit_with_parent(_interrupt_once)
        config = load_section(stage, config_type, path)
        if is_project():
            check_fingerprint(stage, getattr(config, "method", NO_METHOD))
        _ensure_artifacts()
        main(config)

    sys.exit(guard(stage, work))


def _ensure_artifacts() -> None:
    """Look before the work whether its results can be written."""
    ARTIFACTS.mkdir(exist_ok=True)
    if not os.access(ARTIFACTS, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(ARTIFACTS))


def guard(name: str, work: Callable[[], None]) -> int:
    """Run `work` and turn what a user can cause into a message on stderr and an exit code."""
    # DVC and schedulers stop a stage with SIGTERM: it ends like Ctrl-C, with its checkpoint kept.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # A name of any bytes, on a terminal of any encoding, can be printed.
            stream.reconfigure(errors="backslashreplace")
    try:
        work()
    except UserError as error:
        return _fail(name, str(error), 1)
    except KeyboardInterrupt:
        return _fail(name, "interrupted; finished work is kept, the same command goes on from there", _INTERRUPTED)
    except MemoryError as error:
        return _fail(name, _out_of_memory(error), 1)
    except (OSError, RuntimeError) as error:
        found = _describe_os_error(error) if isinstance(error, OSError) else _describe_runtime_error(error)
        if found is None:
            raise
        return _fail(name, found, 1)
    return 0


def _out_of_memory(error: Exception) -> str:
    told = str(error).partition("\n")[0]
    return f"out of memory{f' ({told})' if told else ''}; lower the batch size or LUSS_WORKERS"


def _describe_runtime_error(error: RuntimeError) -> str | None:
    """Say what torch raises, wherever the program is, when one of its processes is gone; or where memory ends."""
    told = str(error)
    if told.startswith("DataLoader worker"):
        return (
            "a process that loads photographs was ended from outside, most often because memory ran out; set "
            "LUSS_WORKERS lower, the same command goes on from the last checkpoint"
        )
    if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in told:
        return _out_of_memory(error)
    return None


def _describe_os_error(error: OSError) -> str | None:
    where = f"{os.fsdecode(error.filename or Path.cwd())}: "
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}the disk is full; free some space, the same command goes on from there"
    if error.errno == errno.EFBIG:
        return f"{where}a file may not grow this large here (see `ulimit -f`); raise the limit and run again"
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{where}a file lies where a folder should be"
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return "too many open files; raise the limit (`ulimit -n`) or set LUSS_WORKERS lower"
    if error.errno in (errno.EAGAIN, errno.ENOMEM):
        return f"the system gives no more processes or memory ({error.strerror}); set LUSS_WORKERS lower"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{where}not allowed to write or read here; check the permissions"
    if error.errno == errno.ENAMETOOLONG:
        return f"{where[:200]}... longer than the file system allows; give a shorter path"
    if error.errno in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR):
        return f"{where}a file lies where a folder is wanted, or a folder where a file is; move it away"
    return None


def _fail(name: str, message: str, code: int) -> int:
    # Of processes that train together, the one that started them says what went wrong, once, and then ends all.
    if told_in := os.environ.get("TORCHELASTIC_ERROR_FILE"):
        ignore_signals()
        Path(told_in).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
        return code
    print(f"{name}: {message}", file=sys.stderr, flush=True)
    return code


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second signal ends at once: whoever presses Ctrl-C twice means it.
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt


def _interrupt_once() -> None:
    if signal.SIG_DFL not in map(signal.getsignal, (signal.SIGINT, signal.SIGTERM)):
        os.kill(os.getpid(), signal.SIGTERM)


def worker_count() -> int:
    """Processes or threads for CPU work: LUSS_WORKERS, by default the processors this process may use.

    Processes that train together share them, and those among which a map divides its items.
    """
    if (share := _share.get()) is not None:
        return share
    return max(_all_workers() // int(os.environ.get("LOCAL_WORLD_SIZE", "1")), 1)


@contextmanager
def sharing_workers(share: int) -> Iterator[None]:
    """Let `worker_count` be this process's share of the workers, inside the block and in this thread."""
    token = _share.set(max(share, 1))
    try:
        yield
    finally:
        _share.reset(token)


def worker_number() -> int:
    """Which of the processes for CPU work this one is, from 0; 0 outside of them."""
    return int(os.environ.get(WORKER_NUMBER, "0"))


def _all_workers() -> int:
    given = os.environ.get("LUSS_WORKERS", "")
    if not given:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not given.isdigit() or int(given) < 1:
        raise UserError(f"LUSS_WORKERS={given!r}: must be a whole number from 1")
    return int(given)
