import pytest

from tests.fabricate import project

__all__ = ["project"]


@pytest.fixture(autouse=True)
def _project(project: object) -> None:
    """Every test here starts in an empty project."""
