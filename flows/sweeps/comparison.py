"""Tables of results: one row per experiment of a sweep, mean ± deviation over seeds for a benchmark."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from flows.sweeps.benchmark_spec import SCORES
from flows.sweeps.experiments import Result

_TRAINED = "pretrain"

Row = dict[str, Any]


def score(metrics: Mapping[str, Any], name: str) -> float | None:
    """The value under a dotted name in metrics.json."""
    found: Any = metrics
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def sweep_rows(results: Sequence[Result]) -> list[Row]:
    """One row per combination: what it is, its scores in percent, what ran for it, and its DVC experiment."""
    names = [name for name in SCORES if any(score(one.metrics, name) is not None for one in results)]
    return [
        {
            **one.combination.labels,
            **{name: _show(score(one.metrics, name)) for name in names},
            "minutes": _minutes([one]),
            "stages run": f"{sum(what == 'ran' for what in one.stage_status.values())} of {len(one.stage_status)}",
            "experiment": one.combination.name if one.outcome.has_succeeded else one.outcome.status,
        }
        for one in results
    ]


def benchmark_rows(
    groups: Mapping[str, Sequence[Result]], names: Sequence[str], paper: Mapping[str, Mapping[str, float]]
) -> list[Row]:
    """One row per entry of a benchmark: mean ± deviation of its seeds, and the paper's number beside it.

    Args:
        groups: The results of every row, one per seed.
        names: Scores, by their dotted name in metrics.json; one that nobody has is left out.
        paper: The published value of each row and score, where there is one.
    """
    every = [one for results in groups.values() for one in results]
    shown = [name for name in names if any(score(one.metrics, name) is not None for one in every)]
    published = [name for name in shown if any(name in values for values in paper.values())]
    return [_benchmark_row(label, results, shown, published, paper.get(label, {})) for label, results in groups.items()]


def _benchmark_row(
    label: str, results: Sequence[Result], shown: Sequence[str], published: Sequence[str], paper: Mapping[str, float]
) -> Row:
    row: Row = {"row": label, "seeds": sum(one.outcome.has_succeeded for one in results)}
    for name in shown:
        row[name] = _mean([value for one in results if (value := score(one.metrics, name)) is not None])
        if name in published:
            row[f"{name} (paper)"] = _show(paper.get(name))
    speeds = [one.speeds[_TRAINED].images_per_second for one in results if _TRAINED in one.speeds]
    row["minutes per seed"] = _minutes(results)
    row[f"{_TRAINED} images/s"] = _mean([speed for speed in speeds if speed is not None])
    return row


def to_markdown(rows: Sequence[Row]) -> str:
    """The table as GitHub and Prefect show it."""
    head = list(rows[0]) if rows else []
    lines = [head, ["---"] * len(head), *([str(row[name]) for name in head] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def to_csv(rows: Sequence[Row]) -> str:
    """The table for a program; `40.3 ± 1.2` becomes two columns."""
    split = [dict(_apart(row)) for row in rows]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in split for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(split)
    return out.getvalue()


def _apart(row: Row) -> list[tuple[str, Any]]:
    cells: list[tuple[str, Any]] = []
    for name, value in row.items():
        mean, sign, deviation = str(value).partition(" ± ")
        cells += [(name, mean), (f"{name} deviation", deviation)] if sign else [(name, value)]
    return cells


def _mean(values: Sequence[float]) -> str:
    if len(values) < 2:
        return _show(values[0] if values else None)
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def _minutes(results: Sequence[Result]) -> str:
    """Minutes that the stages of a run have taken, whoever computed them; with ≥ where one was never timed."""
    known = [one for one in results if one.speeds]
    if not known:
        return ""
    each = [sum(speed.seconds for speed in one.speeds.values()) / 60 for one in known]
    incomplete = any(set(one.stage_status) - {"data"} - set(one.speeds) for one in known)
    return f"{'≥ ' if incomplete else ''}{statistics.mean(each):.1f}"


def _show(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
