"""ruff, mypy and the import contracts, each also shown to catch what it is there for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.project.rooms import ROOT

TOOLS = Path(sys.executable).parent


def run(tool: str, *arguments: str, cwd: Path = ROOT) -> tuple[int, str]:
    done = subprocess.run(
        [TOOLS / tool, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(cwd), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_ruff_is_content() -> None:
    status, said = run("ruff", "check", "--no-cache", "flows", "stages", "tests")
    assert status == 0, said


def test_ruff_sees_an_unused_import(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text('"""A stage."""\n\nimport os\n')
    status, said = run("ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml"), str(tmp_path))
    assert status == 1
    assert "F401" in said


@pytest.mark.slow
def test_mypy_is_content(tmp_path: Path) -> None:
    status, said = run("mypy", "--cache-dir", str(tmp_path))
    assert status == 0, said


@pytest.mark.slow
def test_mypy_sees_a_wrong_type(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text("def count(items) -> int:\n    return 'many'\n")
    status, said = run("mypy", "--cache-dir", str(tmp_path / "cache"), str(tmp_path / "stage.py"))
    assert status == 1
    assert "[return-value]" in said
    assert "[no-untyped-def]" in said


def test_import_contracts_are_kept() -> None:
    status, said = run("lint-imports", "--no-cache")
    assert status == 0, said


@pytest.mark.parametrize(
    ("file", "statement", "contract"),
    [
        ("stages/index/layout.py", "import stages.evaluate.inputs", "stages do not know each other"),
        ("stages/core/cli.py", "import stages.index", "stages do not know each other"),
        ("stages/core/cli.py", "import flows.recipes.composing", "flows stand above the stages"),
        ("stages/core/cli.py", "import prefect", "neither prefect nor dvc"),
        ("stages/cluster/__main__.py", "import dvc.repo", "neither prefect nor dvc"),
        ("flows/workspace/tables.py", "import prefect", "pipeline, sweeps and server know prefect"),
        ("stages/cluster/__main__.py", "import faiss", "faiss stands behind one module"),
        ("stages/core/images/dataset.py", "import stages.core.images.slic", "superpixels from the stage superpixels"),
        ("stages/core/artifacts/label_maps.py", "import stages.core.images.crops", "the rooms of core"),
        ("stages/evaluate/inputs.py", "import stages.evaluate.evaluators.objects", "the rooms of evaluate"),
        ("stages/saliency/methods/rc.py", "import stages.saliency.methods.none", "methods do not know each other"),
        ("stages/index/methods/folder.py", "import stages.index.methods.imagenet_s", "methods do not know each other"),
    ],
)
def test_a_forbidden_import_is_caught(tmp_path: Path, file: str, statement: str, contract: str) -> None:
    for folder in ("flows", "stages"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a") as code:
        code.write(f"\n{statement}\n")
    status, said = run("lint-imports", "--no-cache", cwd=tmp_path)
    assert status == 1
    assert any(contract in line and "BROKEN" in line for line in said.splitlines()), said


def test_every_folder_of_code_is_a_package() -> None:
    """The import contracts do not see folders without `__init__.py`."""
    folders = {path.parent for tree in ("flows", "stages") for path in (ROOT / tree).rglob("*.py")}
    assert {folder for folder in folders if not (folder / "__init__.py").exists()} == set()
