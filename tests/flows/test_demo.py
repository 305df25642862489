"""What `luss demo` looks at before it begins, and the table at its end."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from flows.cli.demo import run_demo, score_table
from stages.core.errors import UserError


def test_a_score_stands_under_its_split() -> None:
    scores = {"train": {"NMI": 41.26, "accuracy": 50}, "test": {"mIoU": 25.0, "F": None, "mIoU_S_all": 3.0}}
    out = StringIO()
    Console(file=out, width=80).print(score_table(scores))
    rows = [
        [cell.strip() for cell in line.strip("│┃").replace("┃", "│").split("│")] for line in out.getvalue().splitlines()
    ]
    assert ["in percent", "train", "test"] in rows
    assert ["mIoU", "", "25.0"] in rows
    assert ["accuracy", "50.0", ""] in rows
    assert ["NMI", "41.3", ""] in rows
    assert not any(row[0] in ("F", "mIoU_S_all") for row in rows)


def test_a_name_that_dvc_cannot_take_is_told_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".git", ".dvc", "data/train"):
        Path(folder).mkdir(parents=True)
    Path("dvc.yaml").touch()
    Path("data/train", os.fsdecode(b"caf\xe9.jpg")).touch()
    with pytest.raises(UserError, match=r"data: 1 name is not UTF-8, which DVC needs; rename:\n  data/train/caf\\xe9"):
        run_demo()
    assert not Path("params.yaml").exists()
