"""The splits of a data set, and its categories."""

from pathlib import Path
from typing import Literal

from stages.core.data_link import readable_root
from stages.core.errors import UserError
from stages.core.files import is_utf8, list_folders, readable_name

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def list_categories(data: Path | None = None) -> list[str]:
    """Names of the categories in the order of their ids 1, 2, ...: the folders in any split, empty ones too.

    Args:
        data: Folder of the splits; by default that of the project's photographs.

    Raises:
        UserError: A folder's name is not UTF-8: without it all ids after it would be others.
    """
    data = readable_root() if data is None else data
    names = list_folders(*(data / split for split in SPLITS))
    if wrong := [name for name in names if not is_utf8(name)]:
        raise UserError(f"{data}: category folder {readable_name(wrong[0])}: the name is not UTF-8; rename the folder")
    return names
