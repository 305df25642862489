"""The notebook of docs/ runs, cell by cell, on a project with a segmenter."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.fabricate import fabricate_segmenter
from tests.project.rooms import ROOT


def run_cells(notebook: Path) -> list[Any]:
    """What each code cell shows: the value of its last line, where that is an expression."""
    names: dict[str, Any] = {}
    shown = []
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code":
            body = ast.parse("".join(cell["source"]))
            last = body.body.pop() if isinstance(body.body[-1], ast.Expr) else None
            exec(compile(body, notebook.name, "exec"), names)
            shown.append(eval(compile(ast.Expression(last.value), notebook.name, "eval"), names) if last else None)
    return shown


def test_it_runs_from_its_own_folder(monkeypatch) -> None:
    fabricate_segmenter(threshold=0.0)
    Path("dvc.yaml").touch()
    for number, size in enumerate([(40, 80), (60, 60)]):
        path = Path(f"data/test/thing/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)).save(path)
    Path("docs").mkdir()
    monkeypatch.chdir("docs")
    *_, picture, shares, found = (each for each in run_cells(ROOT / "docs/segmenter.ipynb") if each is not None)
    assert picture.size == (320 + 160, 2 * 160)
    assert list(shares) == ["0.png", "1.png"]
    assert set(shares["0.png"]) <= {1, 2, 3}
    assert set(found["categories"]) <= {1, 2, 3}
    assert 100 / 3 <= found["mean score"] <= 100


def test_it_is_kept_without_what_it_shows() -> None:
    """What it shows is of one run, and can be photographs."""
    notebook = json.loads((ROOT / "docs/segmenter.ipynb").read_text())
    assert not [cell for cell in notebook["cells"] if cell.get("outputs") or cell.get("execution_count")]
