"""Runs combinations of parameters as DVC experiments, one task each; a stage that several share runs once."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from prefect import allow_failure, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed

from flows.pipeline.cancellation import stop_on_interrupt
from flows.pipeline.concurrency_limits import concurrency_slots
from flows.pipeline.log_relay import LogRelay
from flows.pipeline.states import flow_state, task_state
from flows.sweeps.combinations import Combination, combination_dependencies, experiment_overrides, stage_keys
from flows.workspace.experiment import Experiment, check_experiments
from flows.workspace.graph import read_graph
from flows.workspace.monitor import Outcome, ProcessMonitor
from flows.workspace.scores import METRICS
from flows.workspace.timing import StageSpeed, StageTimer

_DATA = Path("data.dvc")


class Result(NamedTuple):
    """The result of one combination."""

    combination: Combination
    outcome: Outcome
    stage_status: Mapping[str, str]
    """`ran` or `cached`, by stage."""
    speeds: Mapping[str, StageSpeed]
    """By stage, also of those from the cache."""
    metrics: Mapping[str, Any]
    """Content of metrics.json; empty where it failed."""


class ExperimentsRun:
    """One run of many combinations: submits a task per experiment and collects the results."""

    def __init__(self, monitor: ProcessMonitor, combinations: Sequence[Combination], at_once: int = 1) -> None:
        self.monitor = monitor
        self.combinations = {one.name: one for one in combinations}
        self.results: dict[str, Result] = {}
        self._slots = threading.BoundedSemaphore(at_once)
        self._tags: list[str] = []

    def execute(self) -> State[Any]:
        """Run every combination after those that compute what it shares with them; returns the state of the flow.

        Raises:
            UserError: git and DVC could not keep what comes out.
        """
        check_experiments()
        futures: dict[str, PrefectFuture[Any]] = {}
        with stop_on_interrupt(self.monitor):
            # An experiment takes the data that DVC knows: what lies in data/ now shall be that.
            futures["data"] = self._task("data", self._update_data).submit()
            wait([futures["data"]])
            keys = self._keys()
            for name, needed in zip(self.combinations, combination_dependencies(list(keys.values())), strict=True):
                before = [allow_failure(futures[list(self.combinations)[number]]) for number in sorted(needed)]
                run = self._task(name, lambda name=name: self._run(name, keys[name]))
                futures[name] = run.submit(wait_for=[futures["data"], *before])
            wait(list(futures.values()))
        wait(list(futures.values()))
        if self.results:
            self._log_counts()
        return flow_state({name: future.state for name, future in futures.items()}, self.monitor.is_stopped)

    def _task(self, name: str, work: Any) -> Any:
        @task(name=name, task_run_name=name, cache_policy=NO_CACHE)
        def run_one() -> State[Any]:
            return cast(State[Any], work())

        return run_one

    def _keys(self) -> dict[str, dict[str, str]]:
        nodes, data = read_graph(), str(yaml.safe_load(_DATA.read_text())["outs"][0].get("md5"))
        # An experiment is one process: it holds what any of its stages needs, as a stage of another run would.
        self._tags = sorted({tag for node in nodes for tag in node.tags})
        return {name: stage_keys(one.sections, nodes, data) for name, one in self.combinations.items()}

    def _update_data(self) -> State[Any]:
        outcome = self.monitor.follow(["--wait-for-lock", "repro", str(_DATA)], LogRelay("data").handle)
        return task_state("data", outcome)

    def _run(self, name: str, keys: Mapping[str, str]) -> State[Any]:
        with self._slots, concurrency_slots(self._tags, lambda: self.monitor.is_stopped):
            experiment = Experiment(name, experiment_overrides(self.combinations[name].sections))
            clock, listener = StageTimer(keys, experiment.logs), LogRelay(name)
            outcome = self._follow(experiment, clock, listener)
        scores = experiment.read(METRICS) if outcome.has_succeeded else None
        if outcome.has_succeeded and scores is None:
            outcome = Outcome(
                "failed", f"It ran, but DVC has kept no experiment {name} with {METRICS}.\n{outcome.tail}"
            )
        metrics = json.loads(scores or "{}")
        self.results[name] = Result(self.combinations[name], outcome, clock.stage_status, clock.speeds(), metrics)
        if not outcome.has_succeeded:
            return task_state(name, outcome)
        ran = [stage for stage, what in clock.stage_status.items() if what == "ran"]
        return Completed(
            message=f"ran: {', '.join(ran) or 'nothing, all is from the cache'}", name=None if ran else "Cached"
        )

    def _follow(self, experiment: Experiment, clock: StageTimer, listener: LogRelay) -> Outcome:
        def handle(line: str) -> None:
            clock.handle(line)
            listener.handle(line)

        if not self.monitor.is_stopped:
            experiment.remove()
        outcome = self.monitor.follow(experiment.arguments, handle, environment=experiment.environment)
        clock.finish(outcome.has_succeeded)
        return outcome

    def _log_counts(self) -> None:
        counts = count_stage_runs(list(self.results.values()))
        told = ", ".join(f"{stage} {count}" for stage, count in counts.items())
        get_run_logger().info(f"How often each stage ran for {len(self.results)} combinations: {told}")


def count_stage_runs(results: Sequence[Result]) -> dict[str, int]:
    """How often each stage ran over all results; the other times it came from the cache."""
    stages = dict.fromkeys(stage for result in results for stage in result.stage_status)
    return {stage: sum(result.stage_status.get(stage) == "ran" for result in results) for stage in stages}
