"""Loads timm without torch's compiler, which costs a third of the time in which a stage that trains nothing starts."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_PARTS = (_COMPILER, f"{_COMPILER}.utils")


def load_timm() -> ModuleType:
    """Timm. Compiling a network still works: torch loads its compiler when it is first asked for it."""
    with _without_compiler():
        return importlib.import_module("timm")


@contextmanager
def _without_compiler() -> Iterator[None]:
    """Let torch's compiler be one that has nothing to do.

    While they load, timm and torchvision ask it only to leave a function alone and what it supports.
    """
    if any(name in sys.modules for name in (*_PARTS, "timm")):
        yield
        return
    for name in _PARTS:
        sys.modules[name] = _Idle(name)
    try:
        yield
    finally:
        for name in _PARTS:
            if isinstance(sys.modules.get(name), _Idle):
                del sys.modules[name]


class _Idle(ModuleType):
    """Stands in for a module of the compiler; where more is asked for, the real one takes its place."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__: list[str] = []

    @staticmethod
    def disable(function: Callable[..., Any] | None = None, *_: Any, **__: Any) -> Callable[..., Any]:
        return function or (lambda each: each)

    @staticmethod
    def is_compile_supported(device_type: str) -> bool:
        return bool(importlib.import_module(f"{_COMPILER}.utils").is_compile_supported(device_type))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for part in _PARTS:
            if isinstance(sys.modules.get(part), _Idle):
                del sys.modules[part]
        return getattr(importlib.import_module(self.__name__), name)
