"""The result of a check of `luss doctor`."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """The result of one check."""

    check: str
    found: str
    remedy: str = ""
    """What to do; empty if all is well."""
    is_fatal: bool = True
    """Nothing will run before the remedy; otherwise it is advice."""
