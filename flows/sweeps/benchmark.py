"""A benchmark as a Prefect flow: recipes on one data set, several seeds each, and one table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from pydantic import Field

from flows.pipeline.cancellation import run_in_workspace
from flows.pipeline.flow_options import FLOW
from flows.pipeline.ui_artifacts import publish_comparison
from flows.sweeps.benchmark_spec import read_benchmark_spec
from flows.sweeps.combinations import dataset_of_params
from flows.sweeps.comparison import Row, benchmark_rows, to_csv, to_markdown
from flows.sweeps.experiments import ExperimentsRun
from flows.sweeps.sweep import AtOnce
from flows.workspace.monitor import ProcessMonitor
from flows.workspace.tables import print_table
from stages.core.outputs import make_output_folder

TABLES = Path("logs/benchmarks")

Seeds = Annotated[int, Field(ge=1)]


@flow(name="benchmark", **FLOW)
def benchmark(what: str, dataset: str = "", seeds: Seeds = 1, at_once: AtOnce = 1) -> State[Any]:
    """Run recipes on one data set and put their scores into one table, beside the published ones.

    Every row and seed is a DVC experiment; what two of them share is computed once.

    Args:
        what: A list in flows/recipes/benchmarks or a .yaml file like those, or recipes with commas between.
        dataset: Data set recipe; by default the one that params.yaml was written for.
        seeds: Seeds per row, counted from 0.
        at_once: Combinations at the same time; as many as there are GPUs.
    """

    def work(monitor: ProcessMonitor) -> State[Any]:
        make_output_folder(TABLES, "the tables of benchmarks:")
        spec, on = read_benchmark_spec(what), dataset or dataset_of_params()
        combinations = spec.combinations(on, seeds)
        run = ExperimentsRun(monitor, [one for row in combinations.values() for one in row], at_once)
        state = run.execute()
        results = {
            row: [run.results[one.name] for one in each if one.name in run.results]
            for row, each in combinations.items()
        }
        publish_table(benchmark_rows(results, spec.scores, spec.paper), f"{Path(what).stem}_{Path(on).stem}")
        return state

    return run_in_workspace(work)


def publish_table(rows: list[Row], name: str) -> None:
    """Show the table here and in the UI, and write it as Markdown and CSV."""
    print_table(rows, name)
    for suffix, text in (("md", to_markdown(rows)), ("csv", to_csv(rows))):
        (TABLES / f"{name}.{suffix}").write_text(text)
    get_run_logger().info(f"Table: {TABLES / name}.md and .csv")
    publish_comparison(rows, "benchmark", f"Benchmark {name}: mean ± deviation over the seeds, in percent")
