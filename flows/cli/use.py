"""`luss use` and `luss set`: write params.yaml from recipes and values, and change values of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from flows.recipes.sizing import Size

QUICK = ("shared.megapixels=20", "shared.resize=80", "index.limit=300")
"""What `--quick` gives: trainings of a minute or two, on smaller pictures of at most 300 photographs."""


def use(
    method: Annotated[
        str, typer.Argument(metavar="METHOD", help="Method recipe: a name in flows/recipes/methods, or a .yaml file.")
    ],
    dataset: Annotated[
        str,
        typer.Argument(metavar="DATASET", help="Data set recipe: a name in flows/recipes/datasets, or a .yaml file."),
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SECTION.FIELD=VALUE]...",
            help="Values in place of the recipes', e.g. pretrain.training.epochs=100.",
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Of folder: to see in minutes what comes, on at most 300 photographs."),
    ] = False,
    estimate: Annotated[
        bool,
        typer.Option("--estimate", help="Then estimate the minutes on this machine from timed steps."),
    ] = False,
) -> None:
    """Write params.yaml for a method on a data set; `dvc repro` then runs what has changed."""
    from flows.recipes.composing import Recipe, compose_sized, write_composed
    from flows.recipes.setting import list_resets
    from flows.workspace.lock import check_params_are_free

    quickening = _quicken(dataset, overrides or ()) if quick else ()
    recipe = Recipe(method, dataset, (*quickening, *(overrides or ())))
    composed = compose_sized(recipe)
    check_params_are_free()
    resets = list_resets(recipe)
    changed = write_composed(composed)
    print(f"Wrote params.yaml: method {method} on data set {dataset}.")
    _print_sizes(composed.sizes, quickening)
    _print_resets(resets)
    _print_changed(changed)
    _warn_of_few(composed.sections)
    if estimate:
        from flows.estimate.estimating import print_estimate

        print_estimate(composed.sections)


def set_params(
    assignments: Annotated[
        list[str],
        typer.Argument(metavar="SECTION.FIELD=VALUE...", help="Values, e.g. cluster.k=20 or shared.classes=20."),
    ],
) -> None:
    """Change values of params.yaml and keep all others, those given to `luss use` before among them."""
    from flows.recipes.setting import set_values
    from flows.workspace.lock import check_params_are_free
    from stages.core.config.params import read_params

    check_params_are_free()
    _print_changed(set_values(assignments))
    _warn_of_few(read_params())


def _print_changed(changed: Sequence[str]) -> None:
    print(f"Changed: {', '.join(changed)}. Run it with: dvc repro" if changed else "Nothing has changed.")


def _print_resets(resets: Sequence[str]) -> None:
    """Tell what is taken back; what `--quick` gave is told as that, for nobody typed it."""
    if set(QUICK) <= set(resets):
        resets = [each for each in resets if each not in QUICK]
        print("No longer --quick: on all photographs, at full size.")
    if resets:
        print(f"Taken back: {', '.join(resets)}. To keep them: luss set {shlex.join(resets)}")


def _warn_of_few(sections: Mapping[str, Any]) -> None:
    from flows.recipes.few_photographs import describe_few_photographs

    if told := describe_few_photographs(sections):
        print(f"luss: {told}", file=sys.stderr)


def _quicken(dataset: str, overrides: Sequence[str]) -> tuple[str, ...]:
    """The values of `--quick`, but for keys that are given.

    Raises:
        UserError: The data set is not sized for its photographs.
    """
    from flows.recipes.composing import stage_names
    from flows.recipes.reading import DATASET_SECTION, read_recipe
    from stages.core.errors import UserError

    stage_names()
    if "effort" not in read_recipe("datasets", dataset, ["shared", DATASET_SECTION, "evaluate"]).get("shared", {}):
        raise UserError(f"--quick: {dataset} has sizes of its own; --quick is for folder, which is sized here")
    given = {override.partition("=")[0] for override in overrides}
    return tuple(value for value in QUICK if value.partition("=")[0] not in given)


def _print_sizes(sizes: Sequence[Size], quickening: Sequence[str]) -> None:
    if not sizes:
        return
    print("Sized for the photographs that are there:")
    key_width = max(len(size.key) for size in sizes)
    value_width = max(len(str(size.value)) for size in sizes)
    quick = {value.partition("=")[0] for value in quickening}
    for size in sizes:
        why = "by --quick" if size.key in quick else size.why
        print(f"  {size.key:<{key_width}}  {size.value!s:>{value_width}}  {why}")
