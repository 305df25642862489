"""Compiled loops, with and without a place to keep them."""

from __future__ import annotations

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
