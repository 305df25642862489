"""Compiled loops over pixels."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile a loop to machine code at its first call: kept on disk, and other threads run beside it."""
    return cast(_Function, numba.njit(cache=True, nogil=True)(function))
