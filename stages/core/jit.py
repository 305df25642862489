"""Numba's compiler with the options of this project, for loops over pixels."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile a loop to machine code at its first call: kept on disk, and other threads run beside it.

    Where neither the code's folder nor the user's own can be written, every process compiles it anew.
    """
    compiled = numba.njit(nogil=True)(function)
    with suppress(RuntimeError):
        compiled.enable_caching()
    return cast(_Function, compiled)
