"""Links `data/` to a folder of photographs that stays as it is, ends the link, and compares the two.

The link file holds digests (see `stages.core.data_link`); what differs is named by the list that `kept_listing` keeps,
and else only counted. Of a root that LUSS_DATA_ROOT names, the list of the first look takes the place of the digest of
times.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from flows.workspace.kept_listing import keep_listing, read_kept
from stages.core.artifacts.shards import write_atomically
from stages.core.data import ARTIFACTS, DATA
from stages.core.data_link import (
    LINK,
    ROOT_VARIABLE,
    DataLink,
    Listing,
    adoption_of,
    check_beside,
    encode_link,
    is_elsewhere,
    list_root,
    read_link,
    readable_root,
)
from stages.core.errors import UserError
from stages.core.files import list_visible

_SHOWN = 5
_PATIENCE, _TELL_EVERY = 2.0, 1.0
"""Seconds before the first word of progress, and between two."""


class Comparison(NamedTuple):
    """The files below the root now, against those that were linked."""

    root: Path
    link: DataLink
    now: DataLink
    is_equal: bool
    added: list[str]
    missing: list[str]
    changed: list[str]
    """Of another size or modification time."""

    def describe(self) -> str:
        """What differs, counted and the first named, in one line."""
        kinds = {"added": self.added, "missing": self.missing, "changed": self.changed}
        told = [f"{len(paths)} {kind} ({_name_first(paths)})" for kind, paths in kinds.items() if paths]
        if not told:  # Nobody has kept which files there were.
            told = [
                f"{self.link.files} files of {self.link.bytes} bytes then, {self.now.files} of {self.now.bytes} now"
            ]
        return f"{self.root}: not as it was linked: {', '.join(told)}; {adoption_of(self.link)}"


def link_data(given: Path) -> tuple[DataLink, DataLink | None]:
    """Link `data/` to a folder; returns the link, and the one that it replaces.

    Raises:
        UserError: The folder cannot serve, or `data/` holds something else.
    """
    root = os.path.abspath(given)
    _check_root(Path(root))
    before = _replaced_link(root)
    listing = list_root(Path(root), _progress())
    if not listing.paths:
        raise UserError(f"{root}: holds no files; name the folder that holds the photographs")
    link = listing.describe(root)
    DATA.mkdir(exist_ok=True)
    write_atomically(LINK, encode_link(link))
    keep_listing(root, listing)
    return link, before


def unlink_data() -> DataLink | None:
    """End the link; the photographs stay. Returns it, None if the file was broken.

    Raises:
        UserError: There is none.
    """
    if not os.path.lexists(LINK):
        raise UserError(f"{LINK}: no such file, so {DATA}/ is not linked and there is nothing to end")
    try:
        link = read_link()
    except UserError:
        link = None
    LINK.unlink()
    if not any(DATA.iterdir()):
        DATA.rmdir()
    return link


def compare_data() -> Comparison | None:
    """Compare the files with those that were linked; None where `data/` is not linked.

    Raises:
        UserError: The root cannot be read, or something lies beside the link.
    """
    if (link := read_link()) is None:
        return None
    check_beside(link)
    root = readable_root()
    listing = list_root(root, _progress())
    now, kept = listing.describe(str(root)), read_kept(str(root), link)
    then = link.times if kept is None or not is_elsewhere(link) else kept.describe("").times
    is_same = now.digest == link.digest
    if is_same and (now.times == then or (kept is None and is_elsewhere(link))):
        if kept is None:
            keep_listing(str(root), listing)
        return Comparison(root, link, now, True, [], [], [])
    added, missing, changed = ([], [], []) if kept is None else _differences(kept, listing)
    return Comparison(root, link, now, False, added, missing, changed)


def check_linked_data() -> None:
    """Check before a run that linked photographs are those that were linked.

    Raises:
        UserError: They are not; says which.
    """
    found = compare_data()
    if found is not None and not found.is_equal:
        raise UserError(found.describe())


def _check_root(root: Path) -> None:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; name the one that holds the photographs")
    try:
        with os.scandir(root):
            pass
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}); check the permissions") from None
    real, project = root.resolve(), Path().resolve()
    for inside in (DATA, ARTIFACTS, Path(".dvc")):
        if real.is_relative_to(inside.resolve()):
            raise UserError(f"{root}: lies in {inside}/ of this project; link a folder outside of it")
    if project.is_relative_to(real):
        raise UserError(f"{root}: holds this project itself; link the folder in it that holds only the photographs")
    given = os.environ.get(ROOT_VARIABLE, "")
    if given not in ("", str(root)):
        raise UserError(f"two roots: {root}, and {ROOT_VARIABLE}={given}; unset {ROOT_VARIABLE}, or link its folder")


def _replaced_link(root: str) -> DataLink | None:
    if DATA.is_symlink() or (DATA.exists() and not DATA.is_dir()):
        raise UserError(f"{DATA}: is itself a link or a file; move it away first")
    link = read_link()
    if link is not None:
        check_beside(link)
        if link.root != root:
            raise UserError(
                f"two roots: {LINK} leads to {link.root}; end that link first (`luss data unlink`), or, if {root} is "
                f"this machine's copy of it, set {ROOT_VARIABLE}={root}"
            )
    elif DATA.is_dir() and (there := list_visible(DATA)):
        raise UserError(
            f"{DATA}/ holds {there[0]} already, which a link would hide; move it away first: mv {DATA} {DATA}-was"
        )
    return link


def _progress() -> Callable[[int], None]:
    """What says on stderr how many files were seen, once it takes longer."""
    due = time.monotonic() + _PATIENCE

    def tell(done: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due = time.monotonic() + _TELL_EVERY
            print(f"{done:,} files so far", file=sys.stderr, flush=True)

    return tell


def _name_first(paths: list[str]) -> str:
    return ", ".join(paths[:_SHOWN]) + (" ..." if len(paths) > _SHOWN else "")


def _differences(kept: Listing, listing: Listing) -> tuple[list[str], list[str], list[str]]:
    then, now = (
        dict(zip(each.paths, zip(each.sizes, each.times, strict=True), strict=True)) for each in (kept, listing)
    )
    added = [path for path in listing.paths if path not in then]
    missing = [path for path in kept.paths if path not in now]
    return added, missing, [path for path in listing.paths if path in then and then[path] != now[path]]
