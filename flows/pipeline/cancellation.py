"""Cancelling a flow, by Ctrl-C, SIGTERM, a closed terminal or in the UI, stops all of its processes."""

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

from flows.pipeline.states import cancelled_state, exit_status
from flows.server.connection import exit_now, is_server_temporary, server_answers, silence_prefect
from flows.workspace.data_names import check_names
from flows.workspace.dvc_process import check_workspace, signals_interrupt
from flows.workspace.linked_data import check_linked_data
from flows.workspace.lock import workspace_lock
from flows.workspace.monitor import ProcessMonitor
from stages.core.errors import UserError
from stages.core.fingerprint import refresh_fingerprints

_POLL = 2.0
"""Seconds between looks at whether the run was cancelled in the UI."""


def run_in_workspace(work: Callable[[ProcessMonitor], State[Any]]) -> State[Any]:
    """Run the work of a flow with this workspace locked; returns the flow's state, errors included.

    Where its server is gone by then, see `_end_without_server`.
    """
    if is_server_temporary():
        silence_prefect()  # It may be killed, and nobody looks at its events.
    state = _work_locked(work)
    if not server_answers():
        _end_without_server(state)
    return state


def _work_locked(work: Callable[[ProcessMonitor], State[Any]]) -> State[Any]:
    monitor = ProcessMonitor()
    with stop_on_cancel(monitor):
        try:
            check_workspace()
            check_names()
            check_linked_data()
            with workspace_lock():
                refresh_fingerprints()
                return work(monitor)
        except UserError as error:
            get_run_logger().error(str(error))
            return Failed(message=str(error))
    return cancelled_state()


def _end_without_server(state: State[Any]) -> None:
    """Say how the run has ended, before Prefect tries for more than a minute to tell it to a server that is gone.

    A temporary one does not come back, so this process ends here; one that is set may.
    """
    if not is_server_temporary():
        silence_prefect("prefect.flow_runs")  # In the end it would print a traceback.
        print("The Prefect server does not answer: it is tried for up to two minutes, to tell it the end.", flush=True)
        return
    print(f"{state.name}: {state.message}", flush=True)
    exit_now(exit_status(state))


def report_abort_as_cancelled(flow: Flow[Any, Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Report a flow as cancelled that a signal ended before its own code began; Prefect would call it crashed."""
    if "Execution was aborted" in (state.message or ""):
        with get_client(sync_client=True) as client:
            client.set_flow_run_state(flow_run.id, cancelled_state(), force=True)


@contextmanager
def stop_on_cancel(monitor: ProcessMonitor) -> Iterator[None]:
    """Stop the processes of `monitor` when the flow is cancelled, by a signal or in the UI.

    Prefect itself interrupts no task's thread.
    A signal leaves the block early. Belongs around everything that a flow does.
    """
    left = threading.Event()
    # The thread shall see the settings of this one: whose server it is.
    seen = contextvars.copy_context()
    poll = threading.Thread(target=seen.run, args=(_poll, UUID(str(running.id)), monitor, left), daemon=True)
    poll.start()
    with signals_interrupt(), stop_on_interrupt(monitor):
        try:
            yield
        finally:
            left.set()


@contextmanager
def stop_on_interrupt(monitor: ProcessMonitor) -> Iterator[None]:
    """Leave the block at an interrupt, with all processes stopped; the tasks then reach their states on their own."""
    try:
        yield
    except BaseException as error:
        monitor.stop()
        if not isinstance(error, KeyboardInterrupt):
            raise


def _poll(run: UUID, monitor: ProcessMonitor, left: threading.Event) -> None:
    was_there = True
    while not left.wait(_POLL):
        is_there = server_answers()
        if was_there and not is_there:
            silence_prefect()
            print("The Prefect server does not answer: the stages go on without it.", flush=True)
        was_there = is_there
        if is_there and _is_cancelled(run):
            monitor.stop()
            return


def _is_cancelled(run: UUID) -> bool:
    try:
        with get_client(sync_client=True) as client:
            state = client.read_flow_run(run).state
    except Exception:
        # A server that does not answer cancels nothing: the stages finish.
        return False
    return state is not None and (state.is_cancelling() or state.is_cancelled())
