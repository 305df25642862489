"""The link file: `data/` holds no photographs but says in which folder, its root, they stay.

`data/photographs.link` holds the root and two digests of the files below it: of their names and sizes, which every copy
of the set shares, and of their modification times, which tell that a file of equal size was written again. DVC hashes
this one file in place of the photographs. LUSS_DATA_ROOT names another root for this machine alone: the link file, and
so every hash, stays; of that root names and sizes must be those of the link, times may differ. No artifact holds them.

Loads nothing but the standard library.
"""

import json
import os
import shlex
from array import array
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from stages.core.data import DATA
from stages.core.errors import UserError
from stages.core.files import list_visible, walk_files
from stages.core.hashing import hash_bytes

LINK = DATA / "photographs.link"
ROOT_VARIABLE = "LUSS_DATA_ROOT"

_TELL_EVERY = 1000
"""Files between two words of progress."""


class DataLink(NamedTuple):
    """Content of the link file."""

    root: str
    """Absolute path of the folder, on the machine that linked it."""
    files: int
    bytes: int
    digest: str
    """Of names and sizes."""
    times: str
    """Of modification times, in the order of the names."""


class Listing(NamedTuple):
    """The files below a folder by the rule of `list_files`, in the order of their paths."""

    paths: list[str]
    """Relative to the folder."""
    sizes: "array[int]"
    """Bytes; -1 of a link that leads nowhere."""
    times: "array[int]"
    """Of modification. Unit: nanoseconds since 1970."""

    def describe(self, root: str) -> DataLink:
        """The link to these files below `root`."""
        lines = "".join(f"{path}\0{size}\n" for path, size in zip(self.paths, self.sizes, strict=True))
        digest, times = hash_bytes(os.fsencode(lines)), hash_bytes(" ".join(map(str, self.times)).encode())
        return DataLink(root, len(self.paths), sum(size for size in self.sizes if size > 0), digest, times)


def list_root(root: Path, tell: Callable[[int], None] = lambda done: None) -> Listing:
    """Names, sizes and times of all files below a root; no file is opened.

    Args:
        root: The folder.
        tell: Called now and then with the number of files so far.
    """
    found: list[tuple[str, int, int]] = []
    for path, entry in walk_files(root):
        try:
            status = entry.stat()
            found.append((path, status.st_size, status.st_mtime_ns))
        except PermissionError:
            raise
        except OSError:  # A link that leads nowhere: `index` lists it among what cannot be used.
            found.append((path, -1, 0))
        if len(found) % _TELL_EVERY == 0:
            tell(len(found))
    found.sort()
    return Listing(
        [file[0] for file in found], array("q", (file[1] for file in found)), array("q", (file[2] for file in found))
    )


def read_link() -> DataLink | None:
    """The link of this project's `data/`; None if it holds copies, or nothing.

    Raises:
        UserError: The file is broken.
    """
    try:
        return _parse(LINK.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


@lru_cache(1)
def _parse(content: bytes) -> DataLink:
    try:
        values = json.loads(content)
        return DataLink(*(kind(values[name]) for name, kind in DataLink.__annotations__.items()))
    except (ValueError, TypeError, LookupError):
        raise UserError(f"{LINK}: broken; delete it, then `luss data link PATH` writes it anew") from None


def encode_link(link: DataLink) -> bytes:
    """The bytes of the link file."""
    return f"{json.dumps(link._asdict(), indent=1)}\n".encode()


def data_root() -> Path:
    """The folder with the photographs: `data/`, or the one that it is linked to, without a look whether it is there."""
    link = read_link()
    return DATA if link is None else Path(_root_and_origin(link)[0])


def through_link(path: Path) -> Path:
    """The place of a folder that someone calls `data/…`, where `data/` is linked; any other path as it is."""
    inside = os.path.relpath(path, DATA)
    return path if read_link() is None or inside.startswith(os.pardir) else data_root() / inside


def readable_root() -> Path:
    """The same, looked at.

    Raises:
        UserError: `data/` is linked to a folder that cannot be read.
    """
    link = read_link()
    if link is not None and (problem := _problem_of_root(link)):
        raise UserError(problem)
    return data_root()


def _root_and_origin(link: DataLink) -> tuple[str, str]:
    """The root of a link on this machine, and who says so."""
    given = os.environ.get(ROOT_VARIABLE, "")
    return (given, f"{ROOT_VARIABLE}={given}") if given else (link.root, f"{LINK}: linked to {link.root}")


def _problem_of_root(link: DataLink) -> str:
    root, told = _root_and_origin(link)
    if not os.path.isabs(root):
        return f"{told}: must be an absolute path"
    try:
        with os.scandir(root):
            return ""
    except OSError as error:
        reason = error.strerror
    return f"{told}, which cannot be read ({reason}); mount it, or say in {ROOT_VARIABLE} where a copy of it lies"


def is_elsewhere(link: DataLink) -> bool:
    """Whether this machine has its own root for the link, whose modification times may differ."""
    return _root_and_origin(link)[0] != link.root


def how_to_adopt() -> str:
    """What to do about photographs that have changed or are gone."""
    if (link := read_link()) is None:
        return "run `dvc repro` from the index on"
    return _problem_of_root(link) or f"{adoption_of(link)}, then `dvc repro`"


def adoption_of(link: DataLink) -> str:
    """What to do about files below the root of a link that have changed on purpose."""
    if is_elsewhere(link):
        return f"make the copy that {ROOT_VARIABLE} names equal to that of {link.root}"
    return f"take them as they are by `luss data link {shlex.quote(link.root)}`"


def check_beside(link: DataLink) -> None:
    """Check that nothing lies beside the link file.

    Raises:
        UserError: Something does, and would never be read.
    """
    if beside := [name for name in list_visible(DATA) if name != LINK.name]:
        raise UserError(
            f"{DATA / beside[0]}: lies beside {LINK}, which leads to {link.root}, and would never be read; move it "
            "away, or end the link by `luss data unlink`"
        )


def check_link() -> None:
    """Check, where `data/` is linked, that the files are those that were linked.

    Raises:
        UserError: They are not, or cannot be reached, or something lies beside the link.
    """
    if (link := read_link()) is None:
        return
    check_beside(link)
    root = readable_root()
    now = list_root(root).describe(link.root)
    if now.digest != link.digest:
        counts = f"{link.files} files of {link.bytes} bytes, now {now.files} of {now.bytes}"
        raise UserError(
            f"{root}: other files than {LINK} says ({counts}); see `luss data check`, or {adoption_of(link)}"
        )
    if now.times != link.times and not is_elsewhere(link):
        raise UserError(
            f"{root}: files were written since they were linked; see `luss data check`, or {adoption_of(link)}"
        )
