"""The `luss` command. Slow libraries are imported by the command that needs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.score import score, submit
from stages.core.cli import guard

app = typer.Typer(
    help="Large-scale unsupervised semantic segmentation: from unlabelled photographs to a category for every pixel.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)

Photographs = Annotated[Path, typer.Option(help="Folder of photographs, of any size and nested as you like.")]
Results = Annotated[Path, typer.Option(help="Folder for the masks, overlays and the legend; is made if missing.")]


@app.command()
def demo() -> None:
    """Run the whole pipeline on the built-in sample (or on what lies in data/) and print the scores."""
    from flows.demo import run_demo

    raise typer.Exit(run_demo())


@app.command()
def sample(
    force: Annotated[bool, typer.Option(help="Rename a data/ that holds something else, then write.")] = False,
) -> None:
    """Write the built-in sample to data/: 840 drawn images of ten categories, with masks for scoring."""
    from flows.demo import write_sample_data

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
    from flows.recipe import Recipe, write_params

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
    from flows.run import run_pipeline

    raise typer.Exit(run_pipeline(stages or [], set_params or [], force))


@app.command()
def predict(images: Photographs, out: Results) -> None:
    """Segment a folder of photographs with the segmenter that the pipeline has trained."""
    from stages.predict.folder import predict_folder

    predict_folder(images, out)


@app.command()
def doctor() -> None:
    """Check the installation and this folder: versions, clashes, GPU, disk, cache, locks, port; say what to do."""
    from flows.doctor import run_doctor

    raise typer.Exit(run_doctor())


app.command()(score)
app.command()(submit)


def main() -> None:
    """Run the command line; a user's mistake ends in one message, not in a traceback."""
    sys.exit(guard("luss", app))


if __name__ == "__main__":
    main()
