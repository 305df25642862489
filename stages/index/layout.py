"""What a method finds in `data/` before any file is read."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from stages.core.config.splits import Split
from stages.core.data import DATA, Rejected
from stages.core.errors import UserError


class Candidate(NamedTuple):
    """A photograph to be looked at."""

    path: str
    """Relative to `data/`, as all paths here."""
    split: Split
    class_name: str | None


class Layout(NamedTuple):
    """The files that play a part, in the order of their paths."""

    photographs: list[Candidate]
    masks: dict[str, str]
    """Id of the photograph that each mask belongs to, by the mask's path."""
    classes: list[str]
    """Names of the categories in the order of their ids 1, 2, ..."""
    rejected: list[Rejected]
    """Files that their names rule out as photographs."""
    rejected_masks: list[Rejected]
    mask_ids: dict[int, int] | None = None
    """Class id, or `IGNORE_ID`, by the id that masks hold; None where masks hold the class ids themselves."""


def list_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it and sorted; links are followed, hidden files left out.

    A folder that is not there holds no files.
    """
    if not folder.is_dir():
        return []
    return sorted(path.relative_to(folder).as_posix() for path in _walk(folder, frozenset()))


def _walk(folder: Path, above: frozenset[Path]) -> Iterator[Path]:
    real = folder.resolve()
    if real in above:  # a link to a folder that it lies in
        return
    for entry in os.scandir(folder):
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(Path(entry.path), above | {real})
        else:
            yield Path(entry.path)


def image_id_of(path: str) -> str:
    """A photograph's id: its path without the suffix."""
    return os.path.splitext(path)[0]


def wrong_name(path: str, suffixes: tuple[str, ...]) -> str:
    """Why a file is not even opened; empty if its name is in order."""
    suffix = os.path.splitext(path)[1]
    if suffix.lower() not in suffixes:
        return f"suffix '{suffix}' is not one of {' '.join(suffixes)}"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8; rename the file"
    return ""


def readable_name(path: str) -> str:
    """The path in characters that any file can hold, whatever bytes the name consists of."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def require_data() -> None:
    """Check that there is a folder `data/`.

    Raises:
        UserError: There is none.
    """
    if not DATA.is_dir():
        raise UserError(f"{DATA}: no such folder; put photographs there, or write the built-in set with `luss sample`")
