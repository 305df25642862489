"""Concurrency limits: stages with `meta: {tags: [gpu]}` run on as many at once as there are GPUs, over all runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from prefect import get_client, get_run_logger
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.concurrency.sync import concurrency
from prefect.exceptions import ObjectAlreadyExists
from prefect.settings import PREFECT_HOME

from flows.server.connection import is_server_temporary, server_answers
from stages.core.held_numbers import hold_number

_GPUS = Path("/proc/driver/nvidia/gpus")
_LOOK = 0.5
_PATIENCE = 5.0
"""Seconds between two looks at whether the run has been stopped while it waits."""


@contextmanager
def concurrency_slots(tags: Sequence[str], is_stopped: Callable[[], bool]) -> Iterator[None]:
    """Hold one slot of each tag's concurrency limit while inside.

    The server counts the slots. A temporary one would lose count when its run is killed, and whoever comes after wait
    for ever: the slots are locks on files in PREFECT_HOME then, which end with the run.

    Args:
        tags: Names of limits. One that the server does not know is made, with a slot per GPU and at least one; change
            it in the UI.
        is_stopped: Waiting ends when this says so.
    """
    slots = ExitStack()
    if tags and is_server_temporary():
        _lock(slots, tags, is_stopped)
    elif tags and server_answers():
        _acquire(slots, list(tags), is_stopped)
    try:
        yield
    finally:
        _release(slots)


def _lock(slots: ExitStack, tags: Sequence[str], is_stopped: Callable[[], bool]) -> None:
    try:
        for tag in sorted(tags):
            folder, told = PREFECT_HOME.value() / "luss-slots" / tag, False
            while not (held := hold_number(folder, _count_gpus())) and not is_stopped():
                if not told:
                    get_run_logger().info(f"Waits for another run on this machine that holds {tag}")
                told = True
                time.sleep(_LOOK)
            if held:
                slots.enter_context(closing(held.file))
    except OSError as error:
        get_run_logger().warning(f"Goes on without a concurrency limit: {error}")


def _acquire(slots: ExitStack, tags: list[str], is_stopped: Callable[[], bool]) -> None:
    told = False
    try:
        _create_limits(tags)
        while not is_stopped():
            try:
                slots.enter_context(concurrency(tags, timeout_seconds=_PATIENCE, raise_on_lease_renewal_failure=False))
                return
            except TimeoutError:
                if not told:
                    names = ", ".join(tags)
                    get_run_logger().info(
                        f"Waits for another stage that holds {names}: `prefect gcl ls`. One that was killed holds it "
                        "for five minutes; if nobody does (a server that was not started in this folder forgets it at "
                        "a restart): `prefect gcl update NAME --active-slots 0`"
                    )
                told = True
    except Exception as error:
        get_run_logger().warning(f"Goes on without a concurrency limit, the server does not answer: {error}")


def _release(slots: ExitStack) -> None:
    try:
        slots.close()
    except Exception as error:
        # The server frees them by itself when their lease runs out; the stage's result must not suffer.
        get_run_logger().warning(f"The concurrency limit could not be given back: {error}")


def _create_limits(tags: Sequence[str]) -> None:
    with get_client(sync_client=True) as client:
        known = {limit.name for limit in client.read_global_concurrency_limits(limit=200)}
        for tag in sorted(set(tags) - known):
            try:
                client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=tag, limit=_count_gpus()))
            except ObjectAlreadyExists:
                continue


def _count_gpus() -> int:
    # A device library would take seconds to load.
    return max(1, len(list(_GPUS.glob("*"))))
