"""What a check of `luss doctor` has found."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What one check has found."""

    check: str
    found: str
    remedy: str = ""
    """What to do; empty if all is well."""
    is_fatal: bool = True
    """Nothing will run before the remedy; otherwise it is advice."""
