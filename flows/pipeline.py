"""The pipeline as a Prefect flow: one task per stage of dvc.yaml, with states, live logs, progress and cancelling."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, cast

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Cancelled, Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from flows.artifacts import ProgressRing, publish_results, publish_stages
from flows.cancelling import ending_with_the_flow, stopped_by_interrupt
from flows.dvc_run import check_workspace
from flows.graph import Node, check_stages, read_graph
from flows.limits import limited
from flows.scores import read_scores
from flows.watch import Outcome, Watch, read_progress
from flows.workspace import apply_overrides, occupied
from stages.core.errors import UserError

_MOST_TASKS = 64
"""Threads; a task that waits for another one holds one."""
_PROGRESS_IN_LOG = 30.0
"""Seconds between progress lines in the log; the ring moves more often."""
_ADVICE = {"data": "put photographs into data/, or run `luss sample`"}
_WORDS = {"unchanged": "Cached", "restored": "Restored", "ran": "Completed"}


@flow(
    name="pipeline",
    task_runner=cast(TaskRunner[PrefectFuture[Any]], ThreadPoolTaskRunner(max_workers=_MOST_TASKS)),
    persist_result=False,
    validate_parameters=True,
)
def pipeline(stages: list[str] = [], set_params: list[str] = [], force: bool = False) -> State[Any]:  # noqa: B006
    """Run the stages that have changed, each as a task.

    Args:
        stages: Run these and what they need; all if empty.
        set_params: Values for params.yaml, each `section.field=value`.
        force: Run also what has not changed.
    """
    watch = Watch()
    with ending_with_the_flow(watch):
        try:
            check_workspace()
            check_stages(stages)
            with occupied():
                apply_overrides(set_params)
                return PipelineRun(watch, force).carry_out(read_graph(stages))
        except UserError as error:
            get_run_logger().error(str(error))
            return Failed(message=str(error))
    return stopped()


class PipelineRun:
    """One run of the pipeline: what became of each stage, and the processes that work on it."""

    def __init__(self, watch: Watch, force: bool) -> None:
        self.watch = watch
        self.force = force
        self.outcomes: dict[str, Outcome] = {}
        self.seconds: dict[str, float] = {}

    def carry_out(self, nodes: Sequence[Node]) -> State[Any]:
        """Run every node after those that it needs; returns the state of the flow."""
        before = read_scores()
        futures: dict[str, PrefectFuture[Any]] = {}
        with stopped_by_interrupt(self.watch):
            for node in nodes:
                needed = [futures[name] for name in node.needs]
                futures[node.name] = self._task(node).submit(wait_for=needed)
            wait(list(futures.values()))
        wait(list(futures.values()))
        self.states = {name: future.state for name, future in futures.items()}
        publish_stages(self.states, self.seconds)
        if self.outcomes.get("evaluate", Outcome("")).status in ("ran", "restored"):
            publish_results(before)
        return self._conclude(self.states)

    def _task(self, node: Node) -> Any:
        @task(name=node.name, task_run_name=node.name, cache_policy=NO_CACHE, retries=node.retries)
        def run_node() -> State[Any]:
            started = time.monotonic()
            outcome = self._run(node)
            self.outcomes[node.name] = outcome
            self.seconds[node.name] = time.monotonic() - started
            return _state(node, outcome)

        return run_node

    def _run(self, node: Node) -> Outcome:
        if self.watch.is_stopped:
            return Outcome("stopped")
        untouched = all(self.outcomes[name].status == "unchanged" for name in node.needs)
        if untouched and not node.is_changed and not self.force:
            return Outcome("unchanged")
        arguments = ["--wait-for-lock", "repro", "--single-item", *(["--force"] if self.force else []), node.target]
        with limited(node.tags, lambda: self.watch.is_stopped):
            return self.watch.follow(arguments, Listener(node.name).hear, node.time_limit)

    def _conclude(self, states: dict[str, State[Any]]) -> State[Any]:
        if self.watch.is_stopped:
            return stopped()
        failed = [name for name, state in states.items() if not state.is_completed()]
        if failed:
            reasons = [f"{name}: {states[name].message}" for name in failed if states[name].is_failed()]
            return Failed(message="\n".join(reasons) or f"not run: {', '.join(failed)}")
        names = [state.name for state in states.values()]
        counts = [f"{names.count(word)} {word}" for word in dict.fromkeys(names)]
        return Completed(message=", ".join(counts))


def stopped() -> State[Any]:
    """The state of a flow that was asked to end."""
    return Cancelled(message="Stopped; the next run goes on from the last checkpoint.")


class Listener:
    """Hands a stage's lines on: text to the log, progress to a ring in the UI and now and then to the log."""

    def __init__(self, stage: str) -> None:
        self._log = get_run_logger()
        self._ring = ProgressRing(stage)
        self._last = -_PROGRESS_IN_LOG

    def hear(self, line: str) -> None:
        """Take one line."""
        progress = read_progress(line)
        if progress is not None:
            self._ring.show(progress)
            if time.monotonic() - self._last < _PROGRESS_IN_LOG and progress.percent < 100:
                return
            self._last = time.monotonic()
        self._log.info(line)


def _state(node: Node, outcome: Outcome) -> State[Any]:
    if outcome.status in _WORDS:
        return Completed(name=_WORDS[outcome.status])
    if outcome.status == "stopped":
        return Cancelled(message="Ended with its run.")
    reason = outcome.tail
    if outcome.status == "late":
        reason = f"Ended after its time limit of {node.time_limit:g} s (meta.time_limit in dvc.yaml).\n{reason}"
    elif node.name in _ADVICE:
        reason = f"{reason}\nWhat to do: {_ADVICE[node.name]}"
    return Failed(message=reason.strip())
