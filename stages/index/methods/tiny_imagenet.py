"""Method `tiny_imagenet`: 200 categories of photographs of 64 pixels, as the archive unpacks.

    data/tiny-imagenet-200/train/CATEGORY/images/NAME.JPEG
    data/tiny-imagenet-200/val/images/NAME.JPEG     data/tiny-imagenet-200/val/val_annotations.txt
    data/tiny-imagenet-200/test/images/NAME.JPEG    (of unknown category)

The folder `tiny-imagenet-200` may be left out. A line of `val_annotations.txt` is a name, its category and a box, which
is not read. There are no masks: clusters are scored by the photographs' categories.

Source: cs231n.stanford.edu, tiny-imagenet-200.zip.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from stages.core.config.params import Params
from stages.core.config.splits import Split
from stages.core.data import IMAGE_SUFFIXES, Rejected
from stages.core.data_link import data_root
from stages.core.errors import UserError
from stages.core.files import find_name_problem, list_files, list_folders
from stages.index.layout import Candidate, Layout
from stages.index.name_lists import read_rows

_ROOTS = ("", "tiny-imagenet-200/")
_CATEGORIES = "val_annotations.txt"


class _Place(NamedTuple):
    split: Split
    folder: str
    category: str | None = None
    """Of all its photographs."""
    named: Mapping[str, str] | None = None
    """Category by a photograph's name; without one it is not used."""


class TinyImageNetConfig(Params):
    """Train photographs in folders by category, those of val in one folder beside a list of their categories."""

    method: Literal["tiny_imagenet"] = "tiny_imagenet"

    def find(self) -> Layout:
        """List photographs and categories.

        Raises:
            UserError: There is no train, or the categories of val are not to be found.
        """
        root = next((root for root in _ROOTS if (data_root() / root / "train").is_dir()), None)
        if root is None:
            raise UserError(
                f"{data_root()}/tiny-imagenet-200/train: no such folder, nor {data_root()}/train; "
                f"unpack tiny-imagenet-200.zip in {data_root()}/"
            )
        found, rejected = [], []
        for place in _places(root):
            for name in list_files(data_root() / place.folder):
                path, problem = f"{place.folder}/{name}", find_name_problem(name, IMAGE_SUFFIXES)
                if not problem and place.named is not None and name not in place.named:
                    problem = f"{_CATEGORIES} does not name it"
                if problem:
                    rejected.append(Rejected(path, problem))
                else:
                    found.append(Candidate(path, place.split, (place.named or {}).get(name, place.category)))
        return Layout(found, {}, list_folders(data_root() / root / "train"), rejected, [])

    def explain(self) -> str:
        """Say where photographs are looked for."""
        return f"in {data_root()}/tiny-imagenet-200/train/<category>/images/, val/images/ and test/images/"


def _places(root: str) -> list[_Place]:
    train = [
        _Place("train", f"{root}train/{name}/images", category=name)
        for name in list_folders(data_root() / root / "train")
    ]
    of_val = _categories(data_root() / root / "val") if (data_root() / root / "val").is_dir() else {}
    return [*train, _Place("validation", f"{root}val/images", named=of_val), _Place("test", f"{root}test/images")]


def _categories(val: Path) -> dict[str, str]:
    rows = read_rows(val / _CATEGORIES)
    if short := [words[0] for words in rows if len(words) < 2]:
        raise UserError(f"{val / _CATEGORIES}: no category beside {short[0]}; a line is a name, its category and a box")
    categories = {words[0]: words[1] for words in rows}
    if absent := sorted(name for name in categories if not (val / "images" / name).exists()):
        raise UserError(
            f"{val / _CATEGORIES}: names {absent[0]}, but {val / 'images'} holds no such photograph; unpack it whole"
        )
    return categories
