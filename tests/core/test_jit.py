"""Compiled loops, with and without a place to keep them."""

from __future__ import annotations

import importlib
import pickle
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from stages.core.jit import _Kept, kernel


def total(values: np.ndarray) -> int:
    found = 0
    for value in values:
        found += value
    return found


@pytest.mark.parametrize("has_place", [True, False])
def test_it_compiles_with_or_without_a_place_for_its_cache(has_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_place:
        monkeypatch.setattr(_Kept, "_locator_classes", [])
    assert kernel(total)(np.arange(5)) == 10


LOST_CLASS = pickle.dumps(numba.__version__) + b"cgone.module\nClass\n."


@pytest.mark.parametrize("left", [b"", b"cut off", LOST_CLASS], ids=["empty", "torn", "a class that is gone"])
def test_what_another_version_has_left_in_the_cache_is_compiled_again(
    left: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert kernel(total)(np.arange(5)) == 10
    (index,) = tmp_path.rglob("*.nbi")
    kept = index.read_bytes()
    index.write_bytes(left)
    assert kernel(total)(np.arange(5)) == 10
    assert index.read_bytes() == kept, "it is kept anew"


LEAF = """
from stages.core.jit import kernel

CONSTANT = {constant}

@kernel
def called(x):
    return x + {added}
"""
CALLER = """
from shared_called import CONSTANT, called
from stages.core.jit import kernel

@kernel
def calling(x):
    return called(x) + CONSTANT
"""


def test_copies_of_the_code_share_what_they_compile_and_other_code_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal files elsewhere take what is there; another called loop or constant in another file does not."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "kept"))
    results, kept = [], []
    for copy, (added, constant) in enumerate([(1, 10), (1, 10), (2, 10), (1, 20)]):
        folder = tmp_path / f"copy{copy}"
        folder.mkdir()
        (folder / "shared_called.py").write_text(LEAF.format(added=added, constant=constant))
        (folder / "shared_calling.py").write_text(CALLER)
        monkeypatch.syspath_prepend(str(folder))
        for name in ("shared_called", "shared_calling"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        results.append(importlib.import_module("shared_calling").calling(0))
        kept.append(len(list((tmp_path / "kept").rglob("*calling*.nbc"))))
    assert results == [11, 11, 12, 21]
    assert kept == [1, 1, 2, 3]
