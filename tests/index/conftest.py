from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a project folder of its own and works in one process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LUSS_WORKERS", "1")
    monkeypatch.delenv("LUSS_CHECKPOINTS", raising=False)
