"""Numba's compiler with the options of this project, for loops over pixels."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar, cast

import numba
import numpy as np
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.dispatcher import Dispatcher

from stages.core.caches import compiled_loops
from stages.core.hashing import hash_json

_Function = TypeVar("_Function", bound=Callable[..., object])


def kernel(function: _Function) -> _Function:
    """Compile a loop to machine code at its first call: kept on disk, and other threads run beside it.

    It is kept in `stages.core.caches.compiled_loops()` for every copy of the project with the same code, so that
    experiments, which run in copies, do not compile it again. Where that cannot be written it is kept beside the code,
    and where that cannot be either, every process compiles it anew.
    """
    compiled = numba.njit(nogil=True)(function)
    with suppress(RuntimeError):
        compiled._cache = _ForgivingCache(function)  # what `cache=True` sets, with numba's own class
    return cast(_Function, compiled)


def digest_of_code(function: Callable[..., object]) -> str:
    """Digest of all that a loop is compiled from: its file, the loops that it may call, constants from other files.

    Numba's own looks at the file alone, and would go on with a called loop or a constant as it was before a change.
    """
    file = inspect.getfile(function)
    found = [Path(file).read_text()]
    for name, value in sorted(function.__globals__.items()):
        if isinstance(value, Dispatcher) and inspect.getfile(value.py_func) != file:
            found.append(digest_of_code(value.py_func))
        elif isinstance(value, int | float | np.generic):
            found.append(f"{name}={value!r}")
    return hash_json(found)


class _Locator(_CacheLocator):  # type: ignore[misc]  # numba has no types
    """A folder for each state of the code: copies of the project with other code do not overwrite each other's."""

    def __init__(self, function: Callable[..., object], digest: str, folder: Path) -> None:
        self._line, self._digest, self._folder = function.__code__.co_firstlineno, digest, folder / digest

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return self._digest

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: Callable[..., object], py_file: str) -> _Locator | None:
        digest = digest_of_code(py_func)
        for folder in (compiled_loops(), Path(py_file).parent / "__pycache__"):
            with suppress(OSError):
                (folder / digest).mkdir(parents=True, exist_ok=True)
                tempfile.TemporaryFile(dir=folder / digest).close()
                return cls(py_func, digest, folder)
        return None


class _Kept(CompileResultCacheImpl):  # type: ignore[misc]  # numba has no types
    _locator_classes: ClassVar = [_Locator]


class _ForgivingCache(FunctionCache):  # type: ignore[misc]  # numba has no types
    """Machine code on disk that nothing depends on: what cannot be read is compiled again, what cannot be kept is not.

    numba unpickles what another version of the code has left before it looks whether it is still valid, and fails where
    a class of then is gone.
    """

    _impl_class = _Kept

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
