"""A sweep as a Prefect flow: every combination of recipes and values, one DVC experiment each."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.pipeline.cancellation import run_in_workspace
from flows.pipeline.flow_options import FLOW
from flows.pipeline.ui_artifacts import publish_comparison
from flows.sweeps.combinations import expand
from flows.sweeps.comparison import sweep_rows
from flows.sweeps.experiments import ExperimentsRun
from flows.workspace.monitor import ProcessMonitor
from flows.workspace.tables import print_table

Assignments = Annotated[list[str], Field(min_length=1, examples=[["recipe=swav", "cluster.k=50,100"]])]
AtOnce = Annotated[int, Field(ge=1)]


@flow(name="sweep", **FLOW)
def sweep(assignments: Assignments, dataset: str = "", at_once: AtOnce = 1) -> State[Any]:
    """Run every combination of the listed values as a DVC experiment, and compare them.

    What two combinations share is computed once. `dvc exp show` lists them; `dvc exp apply NAME` brings one back.

    Args:
        assignments: Values with commas between, one field each: `cluster.k=50,100`, or `recipe=swav,luss`.
        dataset: Data set recipe, where recipes are swept; by default the one that params.yaml was written for.
        at_once: Combinations at the same time; as many as there are GPUs.
    """

    def work(monitor: ProcessMonitor) -> State[Any]:
        run = ExperimentsRun(monitor, expand(assignments, dataset), at_once)
        state = run.execute()
        rows = sweep_rows(list(run.results.values()))
        print_table(rows, "Combinations")
        publish_comparison(rows, "sweep", f"`luss sweep {' '.join(assignments)}`: scores in percent")
        return state

    return run_in_workspace(work)
