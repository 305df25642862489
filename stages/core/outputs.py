"""Creates output folders of commands and checks that they are writable, before the work starts."""

import os
from pathlib import Path

from stages.core.errors import UserError
from stages.core.files import readable_name


def make_output_folder(folder: Path, option: str) -> None:
    """Create an output folder with its parents, and check that it is writable.

    Args:
        folder: What `option` names.
        option: The option of the command line, for the message.

    Raises:
        UserError: It cannot be made, or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{option} {_show(folder)}: a file lies where a folder is wanted; name another one") from None
    except OSError as error:
        raise UserError(f"{option} {_show(folder)}: cannot be made ({error.strerror}); name another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{option} {_show(folder)}: not allowed to write here; name another folder")


def make_parent_folder(file: Path, option: str) -> None:
    """Create the parent folder of an output file, and check that it is writable.

    Raises:
        UserError: The file could not be written there.
    """
    if file.is_dir():
        raise UserError(f"{option} {_show(file)}: is a folder; name a file")
    make_output_folder(file.parent, option)


def _show(path: Path) -> str:
    return readable_name(str(path))
