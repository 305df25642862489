"""`luss data`: link photographs that stay where they are, end the link, and check what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stages.core.words import how_many

data = typer.Typer(no_args_is_help=True, help="Link photographs that stay where they are, and check what is there.")


@data.command()
def link(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH", help="Folder of the photographs; it is only ever read.")
    ],
) -> None:
    """Let data/ lead to a folder of photographs instead of holding copies; again, after they have changed."""
    from flows.workspace.dvc_process import check_workspace
    from flows.workspace.linked_data import link_data
    from stages.core.errors import UserError

    check_workspace()
    if len(paths) > 1:
        raise UserError(
            f"{len(paths)} roots: {', '.join(map(str, paths))}; data/ leads to one folder: link one that holds them "
            "all, if only by symbolic links, and put a name with blanks in quotes"
        )
    made, before = link_data(paths[0])
    print(
        f"data/ leads to {made.root}: {how_many(made.files, 'file')}, {made.bytes / 1e6:,.1f} MB, read there and "
        "never copied."
    )
    if made == before:
        print("Nothing has changed since it was linked.")
    else:
        print("`dvc repro` reads them, `luss data check` sees whether they changed, `luss data unlink` ends the link.")


@data.command()
def unlink() -> None:
    """End the link of data/; the photographs stay where they are."""
    from flows.workspace.dvc_process import check_workspace
    from flows.workspace.linked_data import unlink_data

    check_workspace()
    ended = unlink_data()
    print(f"data/ leads to {ended.root if ended else 'no folder'} no more; nothing there was touched.")
    print(
        "Put photographs into data/, link a folder with `luss data link PATH`, or write the sample with `luss sample`."
    )


@data.command()
def check(
    most: Annotated[
        int | None,
        typer.Option("--most", min=1, help="Read so many photographs of each split; all take as long as index does."),
    ] = None,
) -> None:
    """Look whether linked photographs are those that were linked, and say what `index` sees and which recipe fits.

    Ends with 1 where files cannot be used as masks.
    """
    from flows.cli.data_check import describe_data
    from flows.workspace.dvc_process import check_workspace
    from flows.workspace.linked_data import compare_data
    from stages.core.data import DATA
    from stages.core.errors import UserError

    check_workspace()
    found = compare_data()
    if found is None and not DATA.is_dir():
        raise UserError(f"{DATA}: no such folder; put photographs there, or link a folder with `luss data link PATH`")
    if found is None:
        print(f"{DATA}/ holds copies, in which DVC itself sees what has changed: dvc status data.dvc")
    elif found.is_equal:
        print(
            f"{found.root}: {how_many(found.now.files, 'file')}, {found.now.bytes / 1e6:,.1f} MB, as they were linked."
        )
    else:
        raise UserError(found.describe())
    if wrong := describe_data(most):
        raise UserError(wrong)
