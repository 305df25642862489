"""Finds photographs and, under the same names in other folders, their masks."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from stages.core.config.params import Params
from stages.core.config.splits import Split
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import find_name_problem, image_id_of, list_files
from stages.index.layout import Candidate, Layout
from stages.index.name_lists import read_list

Paths = Annotated[tuple[str, ...], BeforeValidator(lambda given: (given,) if isinstance(given, str) else given)]


class PairFolders(Params):
    """Where the photographs and masks of a split lie; all paths relative to `data/`."""

    photographs: Paths
    """Folder of the photographs, nested or flat; of several the first that is there."""
    masks: Paths = ()
    """Folder of the masks; of several, each photograph takes the first that holds one of its name. None: no masks."""
    listed_in: Paths = ()
    """A file that names the split's photographs, one per line; of several the first that is there. None: all."""
    image_beginning: str = ""
    """What photographs' names begin with and their masks' do not. COCO 2014: COCO_train2014_."""


class Endings(NamedTuple):
    """What names end in, before their suffix."""

    image: str
    """Of photographs, and not of their masks."""
    annotation: str
    """Of masks, and not of their photographs; other files beside them are left alone."""


class _Found(NamedTuple):
    photographs: list[Candidate]
    masks: dict[str, str]
    rejected: list[Rejected]
    rejected_masks: list[Rejected]


def find_pairs(
    splits: Mapping[Split, PairFolders], endings: Endings, classes: list[str], mask_ids: dict[int, int]
) -> Layout:
    """List the photographs and masks of every split that is there.

    Args:
        splits: Where they lie.
        endings: What their names end in.
        classes: As in `Layout`.
        mask_ids: As in `Layout`.

    Raises:
        UserError: There are no train photographs, a list is missing or names a photograph that is not there, or two
            lists name the same.
    """
    found = _Found([], {}, [], [])
    for split, folders in splits.items():
        folder = _first_there(folders.photographs)
        if folder is not None:
            _find_split(found, split, folders.model_copy(update={"photographs": (folder,)}), endings)
        elif split == "train":
            raise UserError(
                f"{_one_of(folders.photographs)}: no such folder; unpack the data set in {data_root()}/ as it is "
                "downloaded, or say where its photographs lie: index.splits.train.photographs=FOLDER"
            )
    _check_apart(found.photographs)
    return Layout(*found[:2], classes, *found[2:], mask_ids)


def _find_split(found: _Found, split: Split, folders: PairFolders, endings: Endings) -> None:
    names: dict[str, str] = {}
    folder, list_file = folders.photographs[0], _find_list(folders)
    listed = set(read_list(list_file, folder)) if list_file else None
    for path in list_files(data_root() / folder):
        name = _strip(image_id_of(path), folders.image_beginning, endings.image)
        if listed is not None and not {name, image_id_of(path)} & listed:
            continue
        if problem := find_name_problem(path, IMAGE_SUFFIXES):
            found.rejected.append(Rejected(f"{folder}/{path}", problem))
        else:
            found.photographs.append(Candidate(f"{folder}/{path}", split, None))
        names[name] = f"{folder}/{image_id_of(path)}"
    if list_file and listed:
        there = {image_id.removeprefix(f"{folder}/") for image_id in names.values()}
        _check_all_there(list_file, listed - set(names) - there, data_root() / folder)
    _find_masks(found, folders, endings, names)


def _find_masks(found: _Found, folders: PairFolders, endings: Endings, names: dict[str, str]) -> None:
    """Masks of the photographs; those of no photograph count as found only where none are to be expected."""
    expects_others = bool(folders.listed_in) or len(folders.masks) > 1
    taken: set[str] = set()
    for folder in folders.masks:
        here = set()
        for path in list_files(data_root() / folder):
            name = image_id_of(path).removesuffix(endings.annotation)
            if not image_id_of(path).endswith(endings.annotation) or name in taken:
                continue
            if name not in names and expects_others:
                continue
            here.add(name)
            if problem := find_name_problem(path, (".png",)):
                found.rejected_masks.append(Rejected(f"{folder}/{path}", problem))
            else:
                found.masks[f"{folder}/{path}"] = names.get(name, f"{folders.photographs[0]}/{name}{endings.image}")
        taken |= here


def _find_list(folders: PairFolders) -> Path | None:
    if not folders.listed_in:
        return None
    there = next((path for name in folders.listed_in if (path := data_root() / name).is_file()), None)
    if there is None:
        raise UserError(
            f"{_one_of(folders.listed_in)}: no such file; it names the photographs of a split: unpack it with the data "
            "set, or name another in listed_in of index.splits"
        )
    return there


def _check_all_there(list_file: Path, absent: set[str], folder: Path) -> None:
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise UserError(
            f"{list_file}: names {min(absent)}{more}, but {folder} holds no such photograph; unpack it whole, or "
            "shorten the list"
        )


def _check_apart(photographs: Iterable[Candidate]) -> None:
    splits: dict[str, str] = {}
    for path, split, _ in photographs:
        if splits.setdefault(path, split) != split:
            raise UserError(
                f"{data_root() / path}: listed in the splits {splits[path]} and {split}; take it out of one list, or "
                "what is trained on would be scored"
            )


def _strip(name: str, beginning: str, ending: str) -> str:
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}{last.removeprefix(beginning)}".removesuffix(ending)


def _first_there(paths: tuple[str, ...]) -> str | None:
    return next((path for path in paths if (data_root() / path).is_dir()), None)


def _one_of(paths: tuple[str, ...]) -> str:
    return " or ".join(str(data_root() / path) for path in paths)
