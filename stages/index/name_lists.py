"""Reads lists of photographs, one name per line, as data sets bring them for their splits."""

from pathlib import Path

from stages.core.data import IMAGE_SUFFIXES
from stages.core.errors import UserError
from stages.core.files import image_id_of, read_text, suffix_of


def read_list(path: Path, folder: str) -> list[str]:
    """The names in a list, without suffix and relative to a folder.

    Of each line the first word counts, as Pascal VOC's lists of pairs want it: `2007_000032`, `2007_000032.jpg` and
    `/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png` name the same photograph.

    Args:
        path: The list.
        folder: Where the photographs lie, relative to `data/`.

    Raises:
        UserError: Missing, empty or no text in UTF-8.
    """
    return [_relative(words[0], folder) for words in read_rows(path)]


def read_rows(path: Path) -> list[list[str]]:
    """The words of each line that is not empty.

    Raises:
        UserError: Missing, empty or no text in UTF-8.
    """
    try:
        lines = [line.split() for line in read_text(path).splitlines()]
    except OSError as error:
        raise UserError(f"{path}: the list of photographs cannot be read ({error.strerror})") from None
    if not any(lines):
        raise UserError(f"{path}: the list is empty; it wants one name of a photograph per line")
    return [words for words in lines if words]


def _relative(word: str, folder: str) -> str:
    name = word.removeprefix("/")
    for beginning in (folder, Path(folder).name):
        name = name.removeprefix(f"{beginning}/")
    return image_id_of(name) if suffix_of(name) in IMAGE_SUFFIXES else name
