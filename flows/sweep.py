"""A sweep as a Prefect flow: every combination of recipes and values, one DVC experiment each."""

from __future__ import annotations

from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.artifacts import publish_comparison
from flows.cancelling import run_in_workspace
from flows.combinations import expand
from flows.comparison import sweep_rows
from flows.experiments import ExperimentsRun
from flows.options import FLOW
from flows.show import show
from flows.watch import Watch

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

    def work(watch: Watch) -> State[Any]:
        run = ExperimentsRun(watch, expand(assignments, dataset), at_once)
        state = run.carry_out()
        rows = sweep_rows(list(run.results.values()))
        show(rows, "Combinations")
        publish_comparison(rows, "sweep", f"`luss sweep {' '.join(assignments)}`: scores in percent")
        return state

    return run_in_workspace(work)
