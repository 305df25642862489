"""Tables for people in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(rows: Sequence[Mapping[str, Any]], title: str) -> None:
    """Print rows that have the same columns."""
    if rows:
        table = Table(title=title)
        for name in rows[0]:
            table.add_column(name, overflow="fold")
        for row in rows:
            table.add_row(*map(str, row.values()))
        Console().print(table)
