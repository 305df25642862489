"""The table at the end of `luss demo`."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from flows.cli.demo import score_table


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
