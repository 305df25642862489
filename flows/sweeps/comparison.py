"""Tables of results: one row per experiment of a sweep, mean ± deviation over seeds for a benchmark."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flows.sweeps.benchmark_spec import CHECKS, SCORES
from flows.sweeps.experiments import Result

_TRAINED = "pretrain"

_OF_PROTOCOL = ("mIoU", "b_mIoU", "F", "pixel_accuracy", "accuracy")
"""How the names of scores begin that compare only within one protocol; train.accuracy is that of the clusters."""

Row = dict[str, Any]


class Column(NamedTuple):
    """One score, of all rows or of those of one protocol."""

    title: str
    name: str
    """Dotted name in metrics.json."""
    protocol: str | None = None
    """null: of every row."""

    def value(self, result: Result) -> float | None:
        """A result's score, if it is of this column's protocol."""
        is_other = self.protocol is not None and self.protocol != protocol_title(result.metrics)
        return None if is_other else score(result.metrics, self.name)


def score(metrics: Mapping[str, Any], name: str) -> float | None:
    """The value under a dotted name in metrics.json."""
    found: Any = metrics
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def protocol_title(metrics: Mapping[str, Any]) -> str:
    """The protocol by which a result is scored, with all that makes it another one."""
    protocol = metrics.get("protocol", {})
    return str(protocol.get("title", protocol.get("name", "")))


def columns(results: Sequence[Result], names: Sequence[str]) -> list[Column]:
    """The scores that anyone has; one that rows have by different protocols gets a column for each of these."""
    found: list[Column] = []
    for name in names:
        titles = dict.fromkeys(protocol_title(one.metrics) for one in results if score(one.metrics, name) is not None)
        if len(titles) > 1 and _is_of_protocol(name):
            found += [Column(f"{name} [{title}]", name, title) for title in titles]
        elif titles:
            found.append(Column(name, name))
    return found


def _is_of_protocol(name: str) -> bool:
    return name != "train.accuracy" and name.partition(".")[2].startswith(_OF_PROTOCOL)


def sweep_rows(results: Sequence[Result]) -> list[Row]:
    """One row per combination: what it is, its scores in percent, what ran for it, and its DVC experiment."""
    shown = columns(results, SCORES)
    if not any(column.name.startswith("test.") for column in shown):  # without masks
        shown += columns(results, CHECKS)
    return [
        {
            **one.combination.labels,
            **{column.title: _show(column.value(one)) for column in shown},
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
    shown = columns(every, names)
    published = {column.name for column in shown if any(column.name in values for values in paper.values())}
    rows = [_benchmark_row(label, results, shown, published, paper.get(label, {})) for label, results in groups.items()]
    return _with_caveats(rows, [_caveats(results) for results in groups.values()])


def _benchmark_row(
    label: str, results: Sequence[Result], shown: Sequence[Column], published: set[str], paper: Mapping[str, float]
) -> Row:
    row: Row = {"row": label, "seeds": sum(one.outcome.has_succeeded for one in results)}
    for column in shown:
        row[column.title] = _mean([value for one in results if (value := column.value(one)) is not None])
        if column.name in published:
            row[f"{column.name} (paper)"] = _show(paper.get(column.name))
    speeds = [one.speeds[_TRAINED].images_per_second for one in results if _TRAINED in one.speeds]
    row["minutes per seed"] = _minutes(results)
    row[f"{_TRAINED} images/s"] = _mean([speed for speed in speeds if speed is not None])
    return row


def _caveats(results: Sequence[Result]) -> str:
    """What the scores of a row are not, by the names in metrics.json."""
    found = [name for one in results for name in one.metrics.get("protocol", {}).get("caveats", {})]
    return ", ".join(name.replace("_", " ") for name in dict.fromkeys(found))


def _with_caveats(rows: list[Row], caveats: Sequence[str]) -> list[Row]:
    if not any(caveats):
        return rows
    return [{**row, "caveats": what} for row, what in zip(rows, caveats, strict=True)]


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
