"""Numbers that processes of this machine take in turn, and give back even if they are killed."""

import fcntl
from pathlib import Path
from typing import IO, NamedTuple


class HeldNumber(NamedTuple):
    """A number that nobody else holds, until its file is closed or this process ends."""

    number: int
    file: IO[str]


def hold_number(folder: Path, most: int | None = None) -> HeldNumber | None:
    """Take the least number that is free, by a lock on a file of that name.

    Args:
        folder: Of these files; whoever names the same one takes of the same numbers.
        most: How many numbers there are; any if not given.

    Returns:
        None where all are held.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    number = 0
    while most is None or number < most:
        file = (folder / str(number)).open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            number += 1
        else:
            return HeldNumber(number, file)
    return None
