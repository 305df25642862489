"""The commands of `luss` and their options. Slow libraries are imported by the command that needs them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.score import score, submit
from flows.cli.weights import weights
from stages.core.cli import guard

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Photographs = Annotated[Path, typer.Option(help="Folder of photographs, of any size and nested as you like.")]
AtOnce = Annotated[int, typer.Option(min=1, help="Combinations at the same time.")]
Results = Annotated[Path, typer.Option(help="Folder for the masks, overlays and the legend; is made if missing.")]


def _show_version(asked: bool) -> None:
    if asked:
        print(f"luss {version('luss')}")
        raise typer.Exit


@app.callback()
def luss(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Large-scale unsupervised semantic segmentation: from unlabelled photographs to a category for every pixel."""


@app.command()
def demo() -> None:
    """Run the whole pipeline on the built-in sample (or on what lies in data/) and print the scores."""
    from flows.cli.demo import run_demo

    raise typer.Exit(run_demo())


@app.command()
def sample(
    force: Annotated[bool, typer.Option(help="Rename a data/ that holds something else, then write.")] = False,
) -> None:
    """Write the built-in sample to data/: 840 drawn images of ten categories, with masks for scoring."""
    from flows.cli.demo import write_sample_data

    raise typer.Exit(write_sample_data(force))


@app.command()
def use(
    method: Annotated[str, typer.Argument(help="Method recipe: a name in flows/recipes/methods, or a .yaml file.")],
    dataset: Annotated[str, typer.Argument(help="Data set recipe: a name in flows/recipes/datasets, or a .yaml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[SECTION.FIELD=VALUE]...", help="Values of your own.")
    ] = None,
) -> None:
    """Write params.yaml for a method on a data set; `dvc repro` then runs what has changed."""
    from flows.recipes.composing import Recipe, write_params

    changed = write_params(Recipe(method, dataset, tuple(overrides or ())))
    print(f"Wrote params.yaml: method {method} on data set {dataset}.")
    print(f"Changed: {', '.join(changed)}. Run it with: dvc repro" if changed else "Nothing has changed.")


@app.command()
def run(
    stages: Annotated[list[str] | None, typer.Argument(metavar="[STAGE]...", help="These and what they need.")] = None,
    set_params: Annotated[
        list[str] | None, typer.Option("--set", "-S", metavar="SECTION.FIELD=VALUE", help="Value for params.yaml.")
    ] = None,
    force: Annotated[bool, typer.Option(help="Run also what has not changed.")] = False,
) -> None:
    """Run what has changed, watched in Prefect: states, live logs, progress, cancel. `dvc repro` does it without."""
    from flows.cli.run import run_pipeline

    raise typer.Exit(run_pipeline(stages or [], set_params or [], force))


@app.command()
def sweep(
    assignments: Annotated[
        list[str], typer.Argument(metavar="KEY=VALUE,VALUE...", help="cluster.k=50,100, or recipe=swav,luss.")
    ],
    dataset: Annotated[str, typer.Option(help="Data set recipe for recipe=…; by default that of params.yaml.")] = "",
    at_once: AtOnce = 1,
) -> None:
    """Run every combination of values as a DVC experiment of its own and compare them; what they share runs once."""
    from flows.cli.run import run_sweep

    raise typer.Exit(run_sweep(assignments, dataset, at_once))


@app.command()
def benchmark(
    what: Annotated[str, typer.Argument(help="A list in flows/recipes/benchmarks, or recipes: swav,luss.")],
    dataset: Annotated[str, typer.Option(help="Data set recipe; by default that of params.yaml.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds per row, counted from 0.")] = 1,
    at_once: AtOnce = 1,
) -> None:
    """Run recipes on one data set; one table with mean ± deviation over seeds, speed, and the published numbers."""
    from flows.cli.run import run_benchmark

    raise typer.Exit(run_benchmark(what, dataset, seeds, at_once))


@app.command()
def serve(
    cron: Annotated[str, typer.Option(help="Run the pipeline at these times: '0 2 * * *' is every night at two.")] = "",
) -> None:
    """Offer pipeline, sweep and benchmark in the Prefect UI, with forms, schedules and cancel; one run at a time."""
    from flows.cli.serve import serve_flows

    serve_flows(cron)


@app.command()
def predict(images: Photographs, out: Results) -> None:
    """Segment a folder of photographs with the segmenter that the pipeline has trained."""
    from stages.predict.folder import predict_folder

    predict_folder(images, out)


@app.command()
def doctor() -> None:
    """Check the installation and this folder: versions, clashes, GPU, disk, cache, locks, port; say what to do."""
    from flows.doctor.checks import run_doctor

    raise typer.Exit(run_doctor())


app.command()(score)
app.command()(submit)
app.command()(weights)


def main() -> None:
    """Run the command line; a user's mistake ends in one message, not in a traceback."""
    sys.exit(guard("luss", app))
