"""history.csv: what a training tells of itself at intervals; it lies in the artifact of the stage that trained."""

from collections.abc import Mapping, Sequence

HISTORY = "history.csv"


def encode_history(rows: Sequence[Mapping[str, float | int]]) -> bytes:
    """The rows as CSV; nothing in them may depend on time."""
    columns = list(dict.fromkeys(name for row in rows for name in row)) or ["iteration"]
    lines = [",".join(columns)] + [",".join(_format_value(row.get(name)) for name in columns) for row in rows]
    return ("\n".join(lines) + "\n").encode()


def _format_value(value: float | int | None) -> str:
    return "" if value is None else str(value) if isinstance(value, int) else f"{value:.7g}"
