"""Tables printed to the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def print_table(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print rows that have the same columns; turned on its side where there are more columns than rows."""
    if not rows:
        return
    head, *lines = [list(rows[0]), *([str(value) for value in row.values()] for row in rows)]
    if len(head) > len(rows) + 1:
        head, *lines = [list(column) for column in zip(head, *lines, strict=True)]
    table = Table(title=title)
    for name in head:
        table.add_column(name, overflow="fold")
    for line in lines:
        table.add_row(*line)
    Console().print(table)
