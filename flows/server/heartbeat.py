"""Has the Prefect server mark killed runs as Crashed, which would stay Running in the UI for ever."""

from __future__ import annotations

from datetime import timedelta

from prefect import get_client
from prefect.automations import Automation
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

NAME = "luss: mark runs that died"
FLOWS = ("pipeline", "sweep", "benchmark")
PATIENCE = timedelta(seconds=120)
"""Silence after which a run counts as dead; `flows.heartbeat_frequency` in pyproject.toml is a quarter of it."""

_BEAT = "prefect.flow-run.heartbeat"
_ENDS = ("Completed", "Failed", "Cancelled", "Crashed")


def mark_dead_runs() -> None:
    """Create the server's automation that marks runs without heartbeats as Crashed, unless it exists."""
    with get_client(sync_client=True) as client:
        if not client.read_automations_by_name(NAME):
            _automation().create()


def _automation() -> Automation:
    return Automation(
        name=NAME,
        description="Its process was killed or its machine is gone; the next run goes on from the last checkpoint.",
        trigger=EventTrigger(
            after={_BEAT},
            expect={_BEAT, *(f"prefect.flow-run.{end}" for end in _ENDS)},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification(
                {"prefect.resource.role": "flow", "prefect.resource.name": list(FLOWS)}
            ),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=PATIENCE,
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="No sign of life: it was killed.")],
    )
