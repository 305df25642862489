"""`luss weights`: recognizes a file of weights; lists and fetches self-supervised weights from the hub."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stages.core.errors import UserError

if TYPE_CHECKING:
    from flows.weights.catalog import Offer
    from stages.core.nets.weight_recognition import Recognized

What = Annotated[
    list[str],
    typer.Argument(
        metavar="FILE | get [NAME]", help="A file of weights; or get, to list what is offered; or get NAME."
    ),
]


def weights(what: What) -> None:
    """Recognize a file of weights, say how to use it; `get` lists self-supervised ones, `get NAME` downloads one."""
    match what:
        case ["get"]:
            _list_offers()
        case ["get", name]:
            _describe(_fetch(name))
        case [file]:
            _describe(Path(file))
        case _:
            raise UserError("luss weights: say one file, or get, or get and a name")


def _list_offers() -> None:
    from rich.console import Console
    from rich.table import Table

    from flows.weights.catalog import OFFERS
    from flows.weights.hub import weights_folder

    table = Table("name", "method", "license", "MB", box=None)
    for offer in OFFERS:
        table.add_row(offer.name, offer.method, offer.license, str(offer.megabytes))
    Console().print(table)
    print(f"\nluss weights get NAME fetches one from the Hugging Face hub into {weights_folder()} (LUSS_WEIGHTS).")


def _fetch(name: str) -> Path:
    from flows.weights.catalog import find_offer
    from flows.weights.hub import fetch, weights_folder

    return fetch(find_offer(name), weights_folder())


def _describe(file: Path) -> None:
    from flows.weights.catalog import find_offer
    from flows.weights.hub import read_source
    from stages.core.hashing import hash_file
    from stages.core.nets.weight_recognition import recognize

    found, source = recognize(file), read_source(file)
    facts = {"network": ", ".join(found.names) or "none that is known here", **found.facts, "sha256": hash_file(file)}
    facts["license"] = source.license if source else "not in the file: say it with pretrain.weights.license=..."
    print(file)
    for title, value in facts.items():
        print(f"  {title:<12} {value}")
    if not found.names:
        raise UserError(
            f"{file}: fits no network that is known here; the nearest is {found.backbone.name}: {found.fit.describe()}"
        )
    print(f"\nUse it with:\n  {_line(file, found, find_offer(source.name) if source else None)}")
    if not source:
        print("  weights.origin: self_supervised_split, self_supervised_elsewhere, or supervised (then not strict).")


def _line(file: Path, found: Recognized, offer: Offer | None) -> str:
    """The command that takes the file as the representation."""
    said = found.backbone.transformer.model_dump(exclude_defaults=True) if found.backbone.transformer else {}
    if offer and offer.positions != "antialiased":
        said["positions"] = offer.positions
    values = {
        "weights.path": file.absolute(),
        "weights.origin": "supervised" if found.is_supervised else "self_supervised_elsewhere",
        **({"weights.license": offer.license} if offer else {}),
        "backbone.name": found.backbone.name,
        **{f"backbone.transformer.{key}": value for key, value in said.items()},
    }
    return shlex.join(
        ["luss", "use", "frozen", "folder", *(f"pretrain.{key}={value}" for key, value in values.items())]
    )
