"""Tests that share a slow fixture run in one process, which builds it once."""

from __future__ import annotations

import os

import pytest


@pytest.mark.skipif("PYTEST_XDIST_WORKER" not in os.environ, reason="one process runs all tests")
@pytest.mark.xdist_group("together")
def test_groups_are_kept_together(request: pytest.FixtureRequest) -> None:
    """pytest-xdist tells groups by the ends of the tests' names; where it cannot write them it says nothing."""
    assert request.node.nodeid.endswith("@together")
