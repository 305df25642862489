"""Compiled loops, with and without a place to keep them."""

from __future__ import annotations

import pickle
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import caching

from stages.core.jit import kernel


def total(values: np.ndarray) -> int:
    found = 0
    for value in values:
        found += value
    return found


@pytest.mark.parametrize("has_place", [True, False])
def test_it_compiles_with_or_without_a_place_for_its_cache(has_place: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not has_place:
        monkeypatch.setattr(caching.FunctionCache._impl_class, "_locator_classes", [])
    assert kernel(total)(np.arange(5)) == 10


LOST_CLASS = pickle.dumps(numba.__version__) + b"cgone.module\nClass\n."


@pytest.mark.parametrize("left", [b"", b"cut off", LOST_CLASS], ids=["empty", "torn", "a class that is gone"])
def test_what_another_version_has_left_in_the_cache_is_compiled_again(
    left: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    assert kernel(total)(np.arange(5)) == 10
    (index,) = tmp_path.rglob("*.nbi")
    kept = index.read_bytes()
    index.write_bytes(left)
    assert kernel(total)(np.arange(5)) == 10
    assert index.read_bytes() == kept, "it is kept anew"
