"""`luss serve`: offers pipeline, sweep and benchmark as Prefect deployments, and runs them here one at a time."""

from __future__ import annotations

from flows.workspace.dvc_process import check_workspace
from stages.core.errors import UserError


def serve_flows(cron: str = "") -> None:
    """Serve the deployments until interrupted.

    Args:
        cron: When the pipeline runs by itself; never if empty.

    Raises:
        UserError: No server is set, it does not answer or does not let this in, or `cron` is no schedule.
    """
    check_workspace()
    from prefect import serve
    from prefect.deployments.runner import RunnerDeployment
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows.pipeline.flow import pipeline
    from flows.server.connection import prepare_server
    from flows.sweeps.benchmark import benchmark
    from flows.sweeps.sweep import sweep

    prepare_server(is_needed=True)
    try:
        schedule = Cron(cron) if cron else None
    except ValueError as error:
        raise UserError(f"--cron {cron!r}: {error}") from None
    offered = [
        RunnerDeployment.from_flow(
            flow,
            name="here",
            schedule=schedule if flow is pipeline else None,
            description=flow.description,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for flow in (pipeline, sweep, benchmark)
    ]
    # Two runs would share one workspace.
    serve(*offered, limit=1)
