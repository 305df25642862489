"""The pipeline as a Prefect flow: one task per stage of dvc.yaml, with states, live logs, progress and cancelling."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from pydantic import Field

from flows.pipeline.cancellation import run_in_workspace, stop_on_interrupt
from flows.pipeline.concurrency_limits import concurrency_slots
from flows.pipeline.flow_options import FLOW
from flows.pipeline.log_relay import LogRelay
from flows.pipeline.states import flow_state, task_state
from flows.pipeline.ui_artifacts import publish_results, publish_stages
from flows.recipes.composing import PIPELINE_FILE, stage_names
from flows.recipes.overrides import apply_overrides
from flows.workspace.graph import Node, check_stages, read_graph
from flows.workspace.monitor import Outcome, ProcessMonitor
from flows.workspace.scores import read_scores


def _offer_stages(schema: dict[str, Any]) -> None:
    if PIPELINE_FILE.is_file():
        schema["enum"] = stage_names()


StageName = Annotated[str, Field(json_schema_extra=_offer_stages)]
"""In the form of the UI a choice of the stages in dvc.yaml."""


@flow(name="pipeline", **FLOW)
def pipeline(
    stages: tuple[StageName, ...] = (),
    set_params: tuple[str, ...] = (),
    force: bool = False,
) -> State[Any]:
    """Run the stages that have changed, each as a task.

    Args:
        stages: Run these and what they need; all if empty.
        set_params: Values for params.yaml, each `section.field=value`.
        force: Run also what has not changed.
    """

    def work(monitor: ProcessMonitor) -> State[Any]:
        check_stages(stages)
        apply_overrides(set_params)
        get_run_logger().info("DVC looks for what has changed")
        return PipelineRun(monitor, force).execute(read_graph(stages))

    return run_in_workspace(work)


class PipelineRun:
    """One run of the pipeline: submits a task per stage and collects the outcomes."""

    def __init__(self, monitor: ProcessMonitor, force: bool) -> None:
        self.monitor = monitor
        self.force = force
        self.outcomes: dict[str, Outcome] = {}
        self.seconds: dict[str, float] = {}

    def execute(self, nodes: Sequence[Node]) -> State[Any]:
        """Run every node after those that it needs; returns the state of the flow."""
        before = read_scores()
        futures: dict[str, PrefectFuture[Any]] = {}
        with stop_on_interrupt(self.monitor):
            for node in nodes:
                needed = [futures[name] for name in node.needs]
                futures[node.name] = self._task(node).submit(wait_for=needed)
            wait(list(futures.values()))
        wait(list(futures.values()))
        states = {name: future.state for name, future in futures.items()}
        publish_stages(states, self.seconds)
        if self.outcomes.get("evaluate", Outcome("")).status in ("ran", "restored"):
            publish_results(before)
        return flow_state(states, self.monitor.is_stopped)

    def _task(self, node: Node) -> Any:
        @task(name=node.name, task_run_name=node.name, cache_policy=NO_CACHE, retries=node.retries)
        def run_node() -> State[Any]:
            started = time.monotonic()
            outcome = self._run_stage(node)
            self.outcomes[node.name] = outcome
            self.seconds[node.name] = time.monotonic() - started
            return task_state(node.name, outcome, node.time_limit)

        return run_node

    def _run_stage(self, node: Node) -> Outcome:
        if self.monitor.is_stopped:
            return Outcome("stopped")
        untouched = all(self.outcomes[name].status == "unchanged" for name in node.needs)
        if untouched and not node.is_changed and not self.force:
            return Outcome("unchanged")
        arguments = ["--wait-for-lock", "repro", "--single-item", *(["--force"] if self.force else []), node.target]
        with concurrency_slots(node.tags, lambda: self.monitor.is_stopped):
            return self.monitor.follow(arguments, LogRelay(node.name).handle, node.time_limit)
