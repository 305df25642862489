"""Finds the photographs that a person names: a folder, a file, or a pattern as `photos/*.jpg`."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from stages.core.artifacts.shards import ARTIFACTS
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files, name_fits, readable_name
from stages.core.image_files import UInt8, UnreadableImage, read_image
from stages.core.progress import track


class Photographs:
    """Photographs to segment, and, as it goes on, the files that turned out to be none."""

    noun = "photograph"
    """What a person calls one of them."""

    def __init__(self, root: Path, targets: dict[str, str], rejected: list[Rejected]) -> None:
        self.root, self.targets, self.rejected = root, targets, rejected
        self.unreadable: list[Rejected] = []

    def read(self, label: str) -> Iterator["ReadPhotograph"]:
        """Decode one after the other, with progress; what cannot be decoded is left out and kept in `unreadable`."""
        for path, target in track(self.targets.items(), len(self.targets), label=label):
            try:
                yield ReadPhotograph(path, target, read_image(self.root / path))
            except UnreadableImage as error:
                self.leave_out(path, str(error))

    def leave_out(self, path: str, reason: str) -> None:
        """Note that a photograph cannot be used."""
        self.unreadable.append(Rejected(path, reason.removeprefix(f"{self.root / path}: ")))

    @property
    def all_rejected(self) -> list[tuple[str, str]]:
        """Path and reason of every file that was no usable photograph, sorted, in characters that can be printed."""
        return sorted(
            (readable_name(file.path), readable_name(file.reason)) for file in [*self.rejected, *self.unreadable]
        )


class ReadPhotograph(NamedTuple):
    """A photograph, decoded."""

    path: str
    """Relative to the folder that they were looked for in."""
    target: str
    """Name of its mask: the path with `.png` behind it."""
    image: UInt8
    """(H, W, 3)"""


def find_photographs(images: Path, out: Path) -> Photographs:
    """Look for photographs.

    Args:
        images: Folder, nested as you like; a file; or a pattern, in which * stands for any characters of a name, and
            ** for any folders.
        out: Where results will lie; those of an earlier run are no photographs.

    Raises:
        UserError: There is no such folder or file, there are no photographs, or `out` is the folder itself or lies
            in `artifacts/`.
    """
    root, paths = _list_paths(images)
    if out.resolve().is_relative_to(ARTIFACTS.resolve()):
        raise UserError(f"{out}: {ARTIFACTS}/ is what the stages write, and DVC keeps; name another folder")
    if out.resolve() == root.resolve():
        raise UserError(f"{out}: the results cannot lie in the folder of photographs itself; name another one")
    targets: dict[str, str] = {}
    taken, rejected = set(), []
    for path in _outside(root, paths, out):
        target = _name_result(path)
        if problem := find_name_problem(path, IMAGE_SUFFIXES):
            rejected.append(Rejected(path, problem))
        elif target in taken:
            rejected.append(Rejected(path, f"its mask would take the name of another one, {target}; rename the file"))
        else:
            targets[path] = target
            taken.add(target)
    if not targets and not rejected:
        raise UserError(f"{images}: no photographs ({', '.join(IMAGE_SUFFIXES)}) in it")
    return Photographs(root, targets, rejected)


def _list_paths(images: Path) -> tuple[Path, list[str]]:
    if images.is_dir():
        return images, list_files(images)
    if images.is_file():
        return images.parent, [images.name]
    first = next((number for number, part in enumerate(images.parts) if set("*?[") & set(part)), None)
    if first is None:
        raise UserError(f"{images}: no such folder of photographs, nor such a file")
    root, pattern = Path(*images.parts[:first]), str(Path(*images.parts[first:]))
    found = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern) if path.is_file())
    if not found:
        raise UserError(f"{images}: no file fits this pattern")
    return root, found


def _outside(root: Path, paths: Iterable[str], out: Path) -> list[str]:
    """Files that are no results of an earlier run."""
    results = out.resolve()
    if not (out.exists() and results.is_relative_to(root.resolve())):
        return list(paths)
    return [path for path in paths if not (root / path).resolve().is_relative_to(results)]


def _name_result(path: str) -> str:
    # The suffix stays in the name: a.jpg and a.png are two photographs.
    whole = f"{path}.png"
    return whole if name_fits(whole.rpartition("/")[2]) else f"{image_id_of(path)}.png"
