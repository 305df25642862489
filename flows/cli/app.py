"""The commands of `luss` and their options. Slow libraries are imported by the command that needs them."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.data import data
from flows.cli.export import export
from flows.cli.score import score, submit
from flows.cli.use import set_params, use
from flows.cli.weights import weights
from stages.core.cli import guard

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

Photographs = Annotated[
    Path,
    typer.Option(help="Photographs: a folder with its subfolders, a file, a pattern as 'photos/*.jpg', or a video."),
]
Only = Annotated[
    list[str] | None,
    typer.Option(help="Name (as in names.yaml) or number of a category: all others are background; can be repeated."),
]
MinScore = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="What scores less is background; by default the segmenter's own threshold decides."
    ),
]
AtOnce = Annotated[int, typer.Option(min=1, help="How many experiments run at the same time, e.g. the number of GPUs.")]
Results = Annotated[Path, typer.Option(help="Folder for masks, overlays and legend; created if missing.")]


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
    force: Annotated[bool, typer.Option(help="If data/ holds something else, rename it and write the sample.")] = False,
    train_masks: Annotated[
        bool, typer.Option("--train-masks", help="Write the masks of train too, for methods that learn from labels.")
    ] = False,
) -> None:
    """Write the built-in sample to data/: 840 drawn images of ten categories, with masks for scoring."""
    from flows.cli.demo import write_sample_data

    raise typer.Exit(write_sample_data(force, train_masks))


app.command()(use)
app.command("set")(set_params)


@app.command()
def run(
    stages: Annotated[
        list[str] | None,
        typer.Argument(metavar="[STAGE]...", help="Run only these stages and those that they need; by default all."),
    ] = None,
    set_params: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-S", metavar="SECTION.FIELD=VALUE", help="Change a value in params.yaml first; can be repeated."
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Run stages that have not changed, too.")] = False,
) -> None:
    """Run what has changed as a Prefect flow, with states, live logs, progress and cancel; `dvc repro` does without."""
    from flows.cli.run import run_pipeline

    raise typer.Exit(run_pipeline(stages or [], set_params or [], force))


@app.command()
def sweep(
    assignments: Annotated[
        list[str],
        typer.Argument(
            metavar="KEY=VALUE,VALUE...", help="Values to combine: cluster.k=50,100, or recipe=swav,luss for methods."
        ),
    ],
    dataset: Annotated[
        str, typer.Option(help="Data set recipe, with recipe=...; by default the one in params.yaml.")
    ] = "",
    at_once: AtOnce = 1,
) -> None:
    """Run every combination of values as a DVC experiment of its own and compare them; what they share runs once."""
    from flows.cli.run import run_sweep

    raise typer.Exit(run_sweep(assignments, dataset, at_once))


@app.command()
def benchmark(
    what: Annotated[
        str,
        typer.Argument(
            metavar="LIST",
            help="A list in flows/recipes/benchmarks, a .yaml file like those, or method recipes: swav,luss.",
        ),
    ],
    dataset: Annotated[str, typer.Option(help="Data set recipe; by default the one in params.yaml.")] = "",
    seeds: Annotated[int, typer.Option(min=1, help="Runs per row, with the seeds 0, 1, ...")] = 1,
    at_once: AtOnce = 1,
) -> None:
    """Run recipes on one data set and write a table: mean ± deviation over seeds, speed, and published numbers."""
    from flows.cli.run import run_benchmark

    raise typer.Exit(run_benchmark(what, dataset, seeds, at_once))


@app.command()
def serve(
    cron: Annotated[
        str,
        typer.Option(help="Also run the pipeline on a schedule, in cron's syntax: '0 2 * * *' is every night at two."),
    ] = "",
) -> None:
    """Offer pipeline, sweep and benchmark in the Prefect UI, with forms, schedules and cancel; one run at a time."""
    from flows.cli.serve import serve_flows

    serve_flows(cron)


@app.command()
def predict(images: Photographs, out: Results, only: Only = None, min_score: MinScore = None) -> None:
    """Segment photographs with the segmenter that the pipeline has trained, and write masks, overlays and tables."""
    from stages.core.data_link import through_link
    from stages.predict.folder import predict_folder

    raise typer.Exit(int(predict_folder(through_link(images), out, only or (), min_score) > 0))


@app.command()
def names(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the page on this machine; 0: any.")] = 0,
    apply: Annotated[
        bool,
        typer.Option("--apply", help="Let the next run learn what names.yaml merges, cuts and calls background."),
    ] = False,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Take names.yaml over to clusters that were formed since."),
    ] = False,
    old: Annotated[
        Path | None,
        typer.Option("--from", help="With --follow: a folder of the clusters that names.yaml speaks of."),
    ] = None,
) -> None:
    """Name, merge, split and drop clusters on a page in the browser; the result is names.yaml."""
    from flows.cli.names import apply_names, serve_page

    if follow or old:
        from flows.cli.names_following import follow as follow_clusters

        raise typer.Exit(follow_clusters(old))
    if not apply:
        serve_page(port)
        return
    changed = apply_names()
    print(f"Changed: {', '.join(changed)}. Run it with: dvc repro" if changed else "Nothing has changed.")


@app.command()
def doctor() -> None:
    """Check the installation and this folder (versions, GPU, disk, cache, locks, port), and say what to do."""
    from flows.doctor.checks import run_doctor

    raise typer.Exit(run_doctor())


app.command()(score)
app.command()(submit)
app.command()(weights)
app.add_typer(data, name="data")
app.add_typer(export, name="export")


def main() -> None:
    """Run the command line; a user's mistake ends in one message, not in a traceback."""
    sys.exit(guard("luss", app))
