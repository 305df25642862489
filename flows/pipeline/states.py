"""How a run and its tasks have ended, as Prefect's states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed

from flows.workspace.dvc_process import INTERRUPTED
from flows.workspace.monitor import Outcome

_ADVICE = {"data": "put photographs into data/, or run `luss sample`"}
_WORDS = {"unchanged": "Cached", "restored": "Restored", "ran": "Completed"}


def task_state(name: str, outcome: Outcome, time_limit: float | None = None) -> State[Any]:
    """The state of a task by the outcome of its process; a failure carries the process's last lines."""
    if outcome.status in _WORDS:
        return Completed(name=_WORDS[outcome.status])
    if outcome.status == "stopped":
        return Cancelled(message="Ended with its run.")
    reason = outcome.tail
    if outcome.status == "late":
        reason = f"Ended after its time limit of {time_limit:g} s (meta.time_limit in dvc.yaml).\n{reason}"
    elif name in _ADVICE:
        reason = f"{reason}\nWhat to do: {_ADVICE[name]}"
    return Failed(message=reason.strip())


def cancelled_state() -> State[Any]:
    """The state of a flow that was cancelled."""
    return Cancelled(message="Stopped; the next run goes on from the last checkpoint.")


def exit_status(state: State[Any]) -> int:
    """Of a command whose flow has ended so: 0, 1 if something failed, 130 if it was stopped."""
    return 0 if state.is_completed() else INTERRUPTED if state.is_cancelled() else 1


def flow_state(states: Mapping[str, State[Any]], is_stopped: bool) -> State[Any]:
    """The state of a flow by those of its tasks; a failure carries each failed task's message."""
    if is_stopped:
        return cancelled_state()
    failed = [name for name, state in states.items() if not state.is_completed()]
    if failed:
        reasons = [f"{name}: {states[name].message}" for name in failed if states[name].is_failed()]
        return Failed(message="\n".join(reasons) or f"not run: {', '.join(failed)}")
    names = [state.name for state in states.values()]
    return Completed(message=", ".join(f"{names.count(word)} {word}" for word in dict.fromkeys(names)))
