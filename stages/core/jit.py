"""Numba's compiler with the options of this project, for loops over pixels."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar, cast

import numba
from numba.core.caching import FunctionCache

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile a loop to machine code at its first call: kept on disk, and other threads run beside it.

    Where neither the code's folder nor the user's own can be written, every process compiles it anew.
    """
    compiled = numba.njit(nogil=True)(function)
    with suppress(RuntimeError):
        compiled._cache = _ForgivingCache(function)  # what `cache=True` sets, with numba's own class
    return cast(_Function, compiled)


class _ForgivingCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Machine code on disk that nothing depends on: what cannot be read is compiled again, what cannot be kept is not.

    numba unpickles what another version of the code has left before it looks whether it is still valid, and fails where
    a class of then is gone.
    """

    def load_overload(self, *arguments: object) -> object:
        try:
            return super().load_overload(*arguments)
        except Exception:  # unpickling raises whatever the content makes it raise
            with suppress(OSError):
                self.flush()
            return None

    def save_overload(self, *arguments: object) -> None:
        with suppress(OSError):
            super().save_overload(*arguments)
