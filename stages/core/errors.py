"""The exception for mistakes that a user can correct, and suggestions for misspelled names."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something in the user's files or parameters is wrong.

    The message names the file or field and says what to do. Command lines print it without a traceback and exit 1.
    """


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """A suggestion to append to a message about an unknown name: ` (did you mean 'swav'?)`, or nothing."""
    names = {name.lower(): name for name in sorted(valid)}
    close = difflib.get_close_matches(given.lower(), names, n=1, cutoff=0.5)
    return f" (did you mean {names[close[0]]!r}?)" if close else ""


def close_names(given: str, valid: Iterable[str]) -> str:
    """The same where there are many names much alike: `; close names: resnet18, resnet18d`, or nothing."""
    close = difflib.get_close_matches(given, sorted(valid), n=3, cutoff=0.5)
    return f"; close names: {', '.join(close)}" if close else ""
