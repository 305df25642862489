"""`luss run`: the pipeline as a Prefect flow in this process."""

from __future__ import annotations

from collections.abc import Sequence

from flows.dvc_run import INTERRUPTED, check_workspace
from flows.graph import check_stages
from flows.workspace import check_overrides, occupied


def run_pipeline(stages: Sequence[str], set_params: Sequence[str], force: bool) -> int:
    """Run the flow; returns the exit status: 0, 1 if a stage failed, 130 if it was stopped.

    Raises:
        UserError: An unknown stage or parameter, or another run in this folder; said before Prefect starts.
    """
    check_workspace()
    check_stages(stages)
    check_overrides(set_params)
    with occupied():
        pass
    from flows.pipeline import pipeline

    state = pipeline(list(stages), list(set_params), force, return_state=True)
    print(f"{state.name}: {state.message}")
    return 0 if state.is_completed() else INTERRUPTED if state.is_cancelled() else 1
