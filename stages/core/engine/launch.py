"""Starts a distributed training: runs the current command once per process, by torchrun's agent."""

import logging
import os
import signal
import sys
import uuid
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.distributed import DistError

from stages.core.cli import worker_count
from stages.core.errors import UserError
from stages.core.words import how_many

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)


def is_launched() -> bool:
    """Whether this process was started by `launch_processes`."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def processes_to_start(photographs: int) -> int:
    """Number of processes to train with: LUSS_PROCESSES, by default one per GPU; 1 inside of a launched process.

    Args:
        photographs: Of a step; every process takes the same share of them.

    Raises:
        UserError: LUSS_PROCESSES is no number, or not all processes get the same share.
    """
    if is_launched():
        return 1
    if not (given := os.environ.get("LUSS_PROCESSES", "")):
        gpus = torch.cuda.device_count() if os.environ.get("LUSS_DEVICE", "cuda") == "cuda" else 1
        return max(count for count in range(1, max(gpus, 1) + 1) if photographs % count == 0)
    if not given.isdigit() or int(given) < 1:
        raise UserError(f"LUSS_PROCESSES={given!r}: must be a whole number from 1")
    check_share(photographs, int(given))
    return int(given)


def check_share(photographs: int, processes: int) -> None:
    """Check that every process gets equally many of a step's photographs.

    Raises:
        UserError: They cannot.
    """
    if photographs % processes:
        raise UserError(
            f"{processes} processes cannot share the {how_many(photographs, 'photograph')} of a step evenly; set "
            "LUSS_PROCESSES to a divisor"
        )


def launch_processes(processes: int) -> None:
    """Run the current command in several processes that train together, and wait for them.

    Raises:
        UserError: One of them failed or was ended; the others are ended with it.
        KeyboardInterrupt: This process was told to end; they have ended.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    os.environ.setdefault("OMP_NUM_THREADS", str(max(worker_count() // processes, 1)))
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # What went wrong is told below.
    config = LaunchConfig(
        1, 1, processes, run_id=uuid.uuid4().hex, rdzv_backend="c10d", rdzv_endpoint="localhost:0", max_restarts=0
    )
    with _kept_signal_handlers():
        try:
            elastic_launch(config, sys.executable)(*sys.orig_argv[1:])
        except SignalException:
            raise KeyboardInterrupt from None
        except ChildFailedError as error:
            raise UserError(_explain(error.failures.values(), processes)) from None


@contextmanager
def report_lost_process() -> Iterator[None]:
    """Turn torch's errors about a process that is gone into one short message.

    Raises:
        UserError: Another process is gone.
    """
    try:
        yield
    except RuntimeError as error:
        if is_launched() and (isinstance(error, DistError) or "gloo" in str(error)):
            raise UserError("another of the processes that train together has ended") from None
        raise


def _explain(failures: Collection[Any], processes: int) -> str:
    # Whoever was killed is the cause; the others only lost it.
    killed = [failure for failure in failures if failure.exitcode < 0]
    first = min(killed or failures, key=lambda failure: failure.timestamp)
    name = f"process {first.local_rank + 1} of {processes}"
    if killed:
        reason = f"was ended from outside ({first.signal_name()}), most often because memory ran out"
        return f"{name} {reason}; the others were ended too, and the same command goes on from the last checkpoint"
    if first.error_file_data.get("message"):
        return str(first.message)
    return f"{name} failed with status {first.exitcode}; what it said stands above"


@contextmanager
def _kept_signal_handlers() -> Iterator[None]:
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
