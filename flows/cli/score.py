"""`luss score` and `luss submit`: score any folder of predictions, and write the file for the test servers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from stages.core.data_link import through_link
from stages.core.errors import UserError
from stages.core.outputs import make_parent_folder
from stages.evaluate.rules import ProtocolName

GroundTruth = Annotated[Path, typer.Option(help="Folder of masks: PNG, class id = R + 256 G, or one channel of ids.")]
Predictions = Annotated[
    Path,
    typer.Option(
        help="Folder of predictions, named like the masks or as luss predict names them; scores as float .npy beside."
    ),
]
Classes = Annotated[int | None, typer.Option(min=1, help="Number of classes; by default the highest id of the masks.")]
Clusters = Annotated[
    int | None, typer.Option(min=1, help="Number of predicted ids, if the protocol allows more than there are classes.")
]
ProtocolOption = Annotated[
    str, typer.Option(help=f"One of: {', '.join(name.replace('_', '-') for name in get_args(ProtocolName))}.")
]
MatchFile = Annotated[
    Path | None,
    typer.Option("--match", help="JSON file of predicted id: true id to score with, instead of matching here."),
]
ThresholdList = Annotated[
    str,
    typer.Option(
        help="Pixels whose score is below are background: 0.3, or several (the best is taken): 0,0.1 or 0:0.6:0.01."
    ),
]
Ignore = Annotated[int, typer.Option(min=-1, help="Id in the masks whose pixels are not scored; -1 for none.")]
Boundary = Annotated[bool, typer.Option(help="Report scores of boundaries, too.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object: scores, protocol, match, and scores at every threshold.")
]
SaveMatch = Annotated[Path | None, typer.Option(help="Write the match found here to this file, for --match.")]

_MOST_THRESHOLDS = 255


def score(
    ground_truth: GroundTruth,
    predictions: Predictions,
    classes: Classes = None,
    clusters: Clusters = None,
    protocol: ProtocolOption = "imagenet-s",
    match: MatchFile = None,
    thresholds: ThresholdList = "",
    ignore: Ignore = 1000,
    boundary: Boundary = True,
    save_match: SaveMatch = None,
    as_json: AsJson = False,
) -> None:
    """Score a folder of predictions against a folder of masks, without the rest of the pipeline."""
    from stages.evaluate.tools.score_folder import Request, score_folder

    if save_match is not None:
        make_parent_folder(save_match, "--save-match")
    request = Request(
        ground_truth=through_link(ground_truth),
        predictions=predictions,
        protocol=_read_protocol(protocol),
        classes=classes,
        clusters=clusters,
        match=match,
        thresholds=_read_thresholds(thresholds),
        ignore=ignore,
        boundary=boundary,
    )
    result = score_folder(request)
    if as_json:
        print(json.dumps(result))
    else:
        _print(result)
    if save_match is not None:
        save_match.write_text(json.dumps({"match": result["match"]}, indent=2) + "\n")


def submit(
    out: Annotated[Path, typer.Option(help="Zip file to write.")] = Path("submission.zip"),
    name: Annotated[str, typer.Option(help="Name of the method.")] = "luss",
    training_data: Annotated[str, typer.Option(help="Data that the method was trained on.")] = "ImageNet-S train",
    training_scheme: Annotated[str, typer.Option(help="SSL (self-supervised), Sup (supervised) or SSL+Sup.")] = "SSL",
    link: Annotated[str, typer.Option(help="Web address of a paper or project.")] = "null",
    description: Annotated[str, typer.Option(help="One sentence about the method.")] = "null",
) -> None:
    """Write the zip file that the ImageNet-S servers take: test masks, the match found on validation, method.txt."""
    from stages.evaluate.tools.submission import Description, write_submission

    count = write_submission(out, Description(name, training_data, training_scheme, link, description))
    print(f"{out}: {count} masks of split test")


def _read_protocol(given: str) -> ProtocolName:
    from stages.evaluate.protocols.definitions import PROTOCOLS

    for name in PROTOCOLS:
        if name == given.replace("-", "_"):
            return name
    known = ", ".join(name.replace("_", "-") for name in PROTOCOLS)
    raise UserError(f"--protocol {given}: no such protocol; there are: {known}")


def _read_thresholds(given: str) -> tuple[float, ...]:
    """`0.3`, `0,0.1,0.2` or `start:stop:step` with its end."""
    if not given:
        return ()
    try:
        if ":" not in given:
            return tuple(float(value) for value in given.split(","))
        start, stop, step = (float(value) for value in given.split(":"))
        count = round((stop - start) / step) + 1
    except (ValueError, ZeroDivisionError):
        raise UserError(
            f"--thresholds {given}: give a number, numbers with commas between, or start:stop:step"
        ) from None
    if not 1 <= count <= _MOST_THRESHOLDS:
        raise UserError(f"--thresholds {given}: from 1 to {_MOST_THRESHOLDS} thresholds, this makes {count}")
    return tuple(round(start + number * step, 9) for number in range(count))


def _print(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    protocol, console = result["protocol"], Console()
    table = Table(
        title=f"{protocol['name']}: {protocol['images']} images, {protocol['classes']} classes, "
        f"match from {protocol['match']}"
    )
    table.add_column("score")
    table.add_column("percent", justify="right")
    for key, value in result["scores"].items():
        table.add_row(key, f"{value:.2f}")
    console.print(table)
    if result["curve"]:
        console.print(f"threshold {protocol['threshold']}: {protocol['threshold_source']}, of {len(result['curve'])}")
