"""Lists image files and folders by one rule for `index`, `luss use`, `luss predict` and `luss score`.

Loads nothing but the standard library.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from stages.core.errors import UserError
from stages.core.hashing import hash_bytes

_OF_THE_SYSTEM = frozenset(
    {
        "$recycle.bin",
        "#recycle",
        "@eadir",
        "@recycle",
        "__macosx",
        "desktop.ini",
        "ehthumbs.db",
        "lost+found",
        "system volume information",
        "thumbs.db",
    }
)
"""What NAS, archives and operating systems put beside photographs, in lower case: left out as hidden files are."""
_LONGEST_NAME = 255
"""Of a file, in bytes, on all common file systems."""


def list_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, relative to it and sorted.

    Links are followed; what is hidden or of the system is left out. A folder that is not there holds no files.
    """
    if not folder.is_dir():
        return []
    return sorted(path for path, _ in walk_files(folder))


def walk_files(folder: Path) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """The files of `list_files` in no order: the path relative to the folder, and the entry, which tells its size."""
    return _walk(str(folder), "", frozenset())


def list_visible(folder: Path) -> list[str]:
    """Sorted names of what lies in a folder; what is hidden or of the system is left out."""
    return sorted(entry.name for entry in _visible(folder))


def list_folders(*folders: Path) -> list[str]:
    """Sorted names of the folders in any of some folders; what is hidden or of the system is left out."""
    return sorted({entry.name for folder in folders if folder.is_dir() for entry in _folders(folder)})


def image_id_of(path: str) -> str:
    """The id of a photograph, mask or prediction: its path without the suffix."""
    return os.path.splitext(path)[0]


def suffix_of(path: str) -> str:
    """A file's suffix in lower case, with its dot."""
    return os.path.splitext(path)[1].lower()


def find_name_problem(path: str, suffixes: tuple[str, ...]) -> str:
    """Why a file is skipped by its name alone; empty if its name is in order."""
    suffix = os.path.splitext(path)[1]
    if suffix.lower() not in suffixes:
        return f"suffix '{readable_name(suffix)}' is not one of {' '.join(suffixes)}"
    return "" if is_utf8(path) else "the name is not UTF-8; rename the file"


def is_utf8(name: str) -> bool:
    """Whether a name is a text, whatever bytes it may consist of."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def readable_name(path: str) -> str:
    """The path on one line, in characters that any file and terminal can show, whatever bytes the name consists of."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)


def shorten_name(name: str, suffix: str) -> str:
    """A file's name and suffix; what is too long for a file system is cut, and made unique by a hash of all of it."""
    whole = os.fsencode(name + suffix)
    if len(whole) <= _LONGEST_NAME:
        return name + suffix
    end = f"~{hash_bytes(whole)[:12]}{suffix}"
    return whole[: _LONGEST_NAME - len(end.encode())].decode(errors="ignore") + end


def name_fits(name: str) -> bool:
    """Whether a file may have this name."""
    return len(os.fsencode(name)) <= _LONGEST_NAME


def read_text(path: Path) -> str:
    """The text of a file that a person wrote, without the mark that some editors put at its beginning.

    Raises:
        UserError: It is not UTF-8.
        OSError: Missing, or not to be read.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # As UTF-16 without its mark looks.
        raise UserError(f"{path}: not a text in UTF-8; save it as UTF-8")
    return text


def _walk(folder: str, prefix: str, above: frozenset[str]) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    real = os.path.realpath(folder)
    if real in above:  # a link to a folder that it lies in
        return
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _walk(entry.path, f"{prefix}{entry.name}/", above | {real})
        else:
            yield prefix + entry.name, entry


def _folders(folder: Path) -> Iterator[os.DirEntry[str]]:
    above = {folder.resolve(), *folder.resolve().parents}
    return (entry for entry in _visible(folder) if entry.is_dir() and Path(entry.path).resolve() not in above)


def _visible(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.lower() not in _OF_THE_SYSTEM:
                yield entry
