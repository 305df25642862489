"""Whatever asks a run to end ends its processes: Ctrl-C, SIGTERM, a closed terminal, cancel in the UI."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from prefect import get_client, get_run_logger
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow
from prefect.runtime import flow_run as running
from prefect.states import Failed

from flows.pipeline.states import stopped
from flows.server.connection import answers, silence_prefect
from flows.workspace.data_names import check_names
from flows.workspace.dvc_process import check_workspace, signals_interrupt
from flows.workspace.lock import workspace_lock
from flows.workspace.monitor import Watch
from stages.core.errors import UserError
from stages.core.fingerprint import refresh_fingerprints

_POLL = 2.0
"""Seconds between looks at whether the run was cancelled in the UI."""


def run_in_workspace(work: Callable[[Watch], State[Any]]) -> State[Any]:
    """Do what a flow does in this workspace; returns its state, also after a user's mistake or wish to end."""
    watch = Watch()
    with ending_with_the_flow(watch):
        try:
            check_workspace()
            check_names()
            with workspace_lock():
                refresh_fingerprints()
                return work(watch)
        except UserError as error:
            get_run_logger().error(str(error))
            return Failed(message=str(error))
    return stopped()


def cancel_rather_than_crash(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """A signal in the moment before a flow's own code begins ends it as one that comes later would."""
    if "Execution was aborted" in (state.message or ""):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, stopped(), force=True)


@contextmanager
def ending_with_the_flow(watch: Watch) -> Iterator[None]:
    """While inside, end `watch` as soon as the flow is asked to end; Prefect itself interrupts no task's thread.

    A signal leaves the block early. Belongs around everything that a flow does.
    """
    left = threading.Event()
    # The thread shall see the settings of this one: whose server it is.
    seen = contextvars.copy_context()
    poll = threading.Thread(target=seen.run, args=(_poll, UUID(str(running.id)), watch, left), daemon=True)
    poll.start()
    with signals_interrupt(), stopped_by_interrupt(watch):
        try:
            yield
        finally:
            left.set()


@contextmanager
def stopped_by_interrupt(watch: Watch) -> Iterator[None]:
    """An interrupt leaves the block early; all processes are gone then, and the tasks conclude on their own."""
    try:
        yield
    except BaseException as error:
        watch.stop()
        if not isinstance(error, KeyboardInterrupt):
            raise


def _poll(run: UUID, watch: Watch, left: threading.Event) -> None:
    was_there = True
    while not left.wait(_POLL):
        is_there = answers()
        if was_there and not is_there:
            silence_prefect()
            print("The Prefect server does not answer: the stages go on without it.", flush=True)
        was_there = is_there
        if is_there and _is_cancelled(run):
            watch.stop()
            return


def _is_cancelled(run: UUID) -> bool:
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
    except Exception:
        # A server that does not answer cancels nothing: the stages finish.
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())
