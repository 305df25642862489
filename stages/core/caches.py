"""Where this machine keeps what can be had again."""

import os
from pathlib import Path


def user_cache(name: str) -> Path:
    """`luss/NAME` in the user's folder of caches.

    Outside of the project, so that it comes into no commit, and experiments, which run in copies of it, find it.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "luss" / name


def compiled_loops() -> Path:
    """Where compiled loops are kept: NUMBA_CACHE_DIR, else the user's cache."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    return Path(given) if given else user_cache("compiled")
