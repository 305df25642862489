"""Checks file names in data/ for DVC, which stops at one that is not UTF-8 without naming it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stages.core.data import DATA
from stages.core.errors import UserError
from stages.core.files import is_utf8
from stages.core.words import how_many

_SHOWN = 5


def check_names(data: Path = DATA) -> None:
    """Check that every name below a folder is UTF-8, hidden files included.

    Raises:
        UserError: Some are not; names the first.
    """
    wrong = list(_find_wrong(os.fsencode(data)))
    if wrong:
        lines = [f"  {path.decode('utf-8', 'backslashreplace')}" for path in sorted(wrong)[:_SHOWN]]
        more = [f"  ... and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        count = f"{how_many(len(wrong), 'name')} {'is' if len(wrong) == 1 else 'are'}"
        raise UserError("\n".join([f"{data}: {count} not UTF-8, which DVC needs; rename:", *lines, *more]))


def _find_wrong(data: bytes) -> Iterator[bytes]:
    for folder, folders, files in os.walk(data):
        for name in (*folders, *files):
            if not name.isascii() and not is_utf8(os.fsdecode(name)):
                yield os.path.join(folder, name)
