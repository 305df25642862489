"""Tables in a terminal: every value can be read, however many columns there are."""

from __future__ import annotations

import pytest

from flows.workspace.tables import print_table


@pytest.mark.parametrize("columns", [3, 15])
def test_every_name_and_value_can_be_read(columns: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{f"name{column}": f"{row}{column:02}" for column in range(columns)} for row in range(2)]
    print_table(rows, "title")
    lines = capsys.readouterr().out.splitlines()
    for column in range(columns):
        together = [f"name{column}", f"0{column:02}", f"1{column:02}"]
        for value in together:
            assert any(value in line.split() for line in lines), value
        if columns == 15:
            assert any(all(value in line.split() for value in together) for line in lines), together


def test_nothing_is_shown_of_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([], "title")
    assert not capsys.readouterr().out
