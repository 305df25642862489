"""`luss run`, `luss sweep`, `luss benchmark`: check the input, then run the Prefect flow in this process."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

from flows.recipes.overrides import check_overrides
from flows.sweeps.benchmark_spec import read_benchmark_spec
from flows.sweeps.combinations import dataset_of_params, expand
from flows.workspace.dvc_process import check_workspace, check_writable, run_dvc
from flows.workspace.experiment import check_experiments
from flows.workspace.graph import check_stages
from flows.workspace.linked_data import check_linked_data
from flows.workspace.lock import check_params_are_free, check_workspace_is_free
from flows.workspace.names_following import remember_members
from stages.core.errors import UserError

# It is told by what is looked at before a server starts, in one line.
warnings.filterwarnings("ignore", message="Failed to create the Prefect home")


def run_pipeline(stages: Sequence[str], set_params: Sequence[str], force: bool) -> int:
    """Run the flow; returns the exit status: 0, 1 if a stage failed, 130 if it was stopped.

    Raises:
        UserError: An unknown stage or parameter, another run in this folder, or linked photographs that have changed;
            said before Prefect starts.
    """
    check_workspace()
    check_writable()
    check_stages(stages)
    check_overrides(set_params)
    check_workspace_is_free()
    if set_params:
        check_params_are_free()
    check_linked_data()
    remember_members()
    from flows.pipeline.flow import pipeline
    from flows.server.connection import exit_now, server_answers

    try:
        return _run(pipeline, tuple(stages), tuple(set_params), force)
    except UserError:
        raise
    except Exception:
        if server_answers():
            raise
    print("The Prefect server is gone; what is left to do goes on with dvc repro.", flush=True)
    exit_now(run_dvc(["repro", *stages]))


def run_sweep(assignments: Sequence[str], dataset: str, at_once: int) -> int:
    """Run the flow of a sweep; returns the exit status as `run_pipeline`.

    Raises:
        UserError: A combination is not valid, another run is in this folder, git and DVC could not keep what comes
            out, or linked photographs have changed; said before Prefect starts.
    """
    check_workspace()
    check_writable()
    expand(assignments, dataset)
    check_experiments()
    check_workspace_is_free()
    check_linked_data()
    from flows.sweeps.sweep import sweep

    return _run(sweep, list(assignments), dataset, at_once)


def run_benchmark(what: str, dataset: str, seeds: int, at_once: int) -> int:
    """Run the flow of a benchmark; returns the exit status as `run_pipeline`.

    Raises:
        UserError: A recipe is not valid, another run is in this folder, git and DVC could not keep what comes out, or
            linked photographs have changed; said before Prefect starts.
    """
    check_workspace()
    check_writable()
    read_benchmark_spec(what).combinations(dataset or dataset_of_params(), seeds)
    check_experiments()
    check_workspace_is_free()
    check_linked_data()
    from flows.sweeps.benchmark import benchmark

    return _run(benchmark, what, dataset, seeds, at_once)


def _run(flow: Callable[..., Any], *arguments: object) -> int:
    """Print how a flow has ended; returns 0, 1 if something failed, 130 if it was stopped.

    Raises:
        UserError: The server that is set does not answer, does not let this run in, or does not keep up.
    """
    from flows.pipeline.states import exit_status
    from flows.server.connection import explain_server_refusal, prepare_server

    prepare_server()
    with explain_server_refusal():
        state = flow(*arguments, return_state=True)
    print(f"{state.name}: {state.message}")
    return exit_status(state)
