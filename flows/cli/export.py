"""`luss export`: masks and models in forms that other tools read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

export = typer.Typer(no_args_is_help=True, help="Write masks and models in forms that other tools read.")

Images = Annotated[
    Path | None,
    typer.Argument(
        metavar="[PHOTOGRAPHS]",
        help="Folder, file or pattern to segment; by default the photographs that the stage predict has segmented.",
    ),
]
Format = Annotated[
    str,
    typer.Option("--format", help="png, voc, coco, label-studio, cvat, hf-dataset or fiftyone (docs/exports.md)."),
]
Out = Annotated[Path, typer.Option(help="Folder for the result; empty, or created.")]


@export.command()
def masks(kind: Format, out: Out, images: Images = None) -> None:
    """Write predicted masks for labelling tools, training code and viewers, with the names of names.yaml."""
    from stages.core.data_link import through_link
    from stages.predict.exports.exporting import export_masks

    raise typer.Exit(int(export_masks(kind, through_link(images) if images else None, out) > 0))


@export.command()
def model(
    kind: Annotated[str, typer.Option("--format", help="onnx, or hf: a folder as the Hugging Face hub has them.")],
    out: Out,
) -> None:
    """Write the trained segmenter for other programs, with what its ids are called."""
    from stages.predict.exports.model import export_model

    export_model(kind, out)
